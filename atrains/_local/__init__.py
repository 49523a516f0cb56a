"""The embedded home: a folder per task as the truth, SQLite as its index, and the server's services over both. Journals are not here."""
