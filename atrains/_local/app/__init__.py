"""The local services on HTTP: one port that answers as an API server, as a file server and with a web page. Imported by `serve` alone."""
