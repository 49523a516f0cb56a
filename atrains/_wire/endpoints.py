"""The endpoint table: every call that atrains makes, and the lowest API version that has it.

Pure; transports and services are keyed by it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

Version = tuple[int, int]


class Endpoint(NamedTuple):
    """One call of the server protocol.

    Attributes:
        name: `service.action`, as in the URL.
        since: The lowest API version that has it. Source: the version ladder of the server.
        idempotent: Whether a request whose outcome is unknown may simply be sent again.
    """

    name: str
    since: Version = (2, 1)
    idempotent: bool = True


AUTH_LOGIN: Final = Endpoint("auth.login")
USERS_GET_CURRENT_USER: Final = Endpoint("users.get_current_user")
USERS_GET_ALL: Final = Endpoint("users.get_all")
USERS_GET_ALL_EX: Final = Endpoint("users.get_all_ex")
SERVER_INFO: Final = Endpoint("server.info")

PROJECTS_GET_ALL: Final = Endpoint("projects.get_all")
PROJECTS_GET_BY_ID: Final = Endpoint("projects.get_by_id")
PROJECTS_CREATE: Final = Endpoint("projects.create", idempotent=False)
PROJECTS_GET_ALL_EX: Final = Endpoint("projects.get_all_ex")
PROJECTS_UPDATE: Final = Endpoint("projects.update")

TASKS_CREATE: Final = Endpoint("tasks.create", idempotent=False)
TASKS_GET_BY_ID: Final = Endpoint("tasks.get_by_id")
TASKS_GET_ALL: Final = Endpoint("tasks.get_all")
TASKS_EDIT: Final = Endpoint("tasks.edit")
TASKS_EDIT_HYPER_PARAMS: Final = Endpoint("tasks.edit_hyper_params", since=(2, 9))
TASKS_ADD_OR_UPDATE_ARTIFACTS: Final = Endpoint("tasks.add_or_update_artifacts", since=(2, 10))
TASKS_UPDATE: Final = Endpoint("tasks.update")
TASKS_UPDATE_TAGS: Final = Endpoint("tasks.update_tags", since=(2, 27))
TASKS_GET_HYPER_PARAMS: Final = Endpoint("tasks.get_hyper_params", since=(2, 9))
TASKS_DELETE_HYPER_PARAMS: Final = Endpoint("tasks.delete_hyper_params", since=(2, 9))
TASKS_EDIT_CONFIGURATION: Final = Endpoint("tasks.edit_configuration", since=(2, 9))
TASKS_GET_CONFIGURATIONS: Final = Endpoint("tasks.get_configurations", since=(2, 9))
TASKS_GET_CONFIGURATION_NAMES: Final = Endpoint("tasks.get_configuration_names", since=(2, 9))
TASKS_DELETE_CONFIGURATION: Final = Endpoint("tasks.delete_configuration", since=(2, 9))
TASKS_SET_REQUIREMENTS: Final = Endpoint("tasks.set_requirements", since=(2, 2))
TASKS_DELETE_ARTIFACTS: Final = Endpoint("tasks.delete_artifacts", since=(2, 10))
TASKS_ADD_OR_UPDATE_MODEL: Final = Endpoint("tasks.add_or_update_model", since=(2, 13))
TASKS_DELETE_MODELS: Final = Endpoint("tasks.delete_models", since=(2, 13))
TASKS_GET_ALL_EX: Final = Endpoint("tasks.get_all_ex")
TASKS_CLONE: Final = Endpoint("tasks.clone", since=(2, 5), idempotent=False)
TASKS_DELETE: Final = Endpoint("tasks.delete", idempotent=False)
TASKS_ARCHIVE: Final = Endpoint("tasks.archive", since=(2, 12))
TASKS_UNARCHIVE_MANY: Final = Endpoint("tasks.unarchive_many", since=(2, 20))
TASKS_STOP: Final = Endpoint("tasks.stop")
TASKS_RESET: Final = Endpoint("tasks.reset")
TASKS_STARTED: Final = Endpoint("tasks.started")
TASKS_STOPPED: Final = Endpoint("tasks.stopped")
TASKS_COMPLETED: Final = Endpoint("tasks.completed", since=(2, 2))
TASKS_FAILED: Final = Endpoint("tasks.failed")
TASKS_PUBLISH: Final = Endpoint("tasks.publish", idempotent=False)
TASKS_PING: Final = Endpoint("tasks.ping")

TASKS_ENQUEUE: Final = Endpoint("tasks.enqueue", idempotent=False)
TASKS_DEQUEUE: Final = Endpoint("tasks.dequeue")

QUEUES_CREATE: Final = Endpoint("queues.create", since=(2, 4), idempotent=False)
QUEUES_GET_ALL: Final = Endpoint("queues.get_all", since=(2, 4))
QUEUES_GET_BY_ID: Final = Endpoint("queues.get_by_id", since=(2, 4))
QUEUES_GET_ALL_EX: Final = Endpoint("queues.get_all_ex", since=(2, 4))
QUEUES_GET_DEFAULT: Final = Endpoint("queues.get_default", since=(2, 4))
QUEUES_PEEK_TASK: Final = Endpoint("queues.peek_task", since=(2, 15))
QUEUES_GET_NUM_ENTRIES: Final = Endpoint("queues.get_num_entries", since=(2, 14))
QUEUES_GET_NEXT_TASK: Final = Endpoint("queues.get_next_task", since=(2, 4), idempotent=False)
QUEUES_REMOVE_TASK: Final = Endpoint("queues.remove_task", since=(2, 4))
QUEUES_DELETE: Final = Endpoint("queues.delete", since=(2, 4), idempotent=False)

WORKERS_REGISTER: Final = Endpoint("workers.register", since=(2, 4))
WORKERS_UNREGISTER: Final = Endpoint("workers.unregister", since=(2, 4))
WORKERS_STATUS_REPORT: Final = Endpoint("workers.status_report", since=(2, 4))
WORKERS_GET_ALL: Final = Endpoint("workers.get_all", since=(2, 4))

MODELS_CREATE: Final = Endpoint("models.create", idempotent=False)
MODELS_EDIT: Final = Endpoint("models.edit")
MODELS_UPDATE: Final = Endpoint("models.update")
MODELS_GET_BY_ID: Final = Endpoint("models.get_by_id")
MODELS_GET_ALL: Final = Endpoint("models.get_all")
MODELS_UPDATE_FOR_TASK: Final = Endpoint("models.update_for_task")
MODELS_SET_READY: Final = Endpoint("models.set_ready")
MODELS_DELETE: Final = Endpoint("models.delete", idempotent=False)
MODELS_ARCHIVE_MANY: Final = Endpoint("models.archive_many", since=(2, 13))
MODELS_UNARCHIVE_MANY: Final = Endpoint("models.unarchive_many", since=(2, 20))

EVENTS_ADD_BATCH: Final = Endpoint("events.add_batch", idempotent=False)
EVENTS_GET_TASK_LOG: Final = Endpoint("events.get_task_log", since=(2, 9))
EVENTS_SCALAR_HISTOGRAM: Final = Endpoint("events.scalar_metrics_iter_histogram")
EVENTS_MULTI_TASK_HISTOGRAM: Final = Endpoint("events.multi_task_scalar_metrics_iter_histogram")
EVENTS_SINGLE_VALUES: Final = Endpoint("events.get_task_single_value_metrics", since=(2, 20))
EVENTS_LATEST_SCALARS: Final = Endpoint("events.get_task_latest_scalar_values")
EVENTS_GET_TASK_EVENTS: Final = Endpoint("events.get_task_events")
EVENTS_SCALARS_RAW: Final = Endpoint("events.scalar_metrics_iter_raw", since=(2, 16))
EVENTS_GET_TASK_PLOTS: Final = Endpoint("events.get_task_plots")
EVENTS_GET_TASK_METRICS: Final = Endpoint("events.get_task_metrics")
EVENTS_DEBUG_IMAGES: Final = Endpoint("events.debug_images", since=(2, 7))
EVENTS_DEBUG_IMAGE_SAMPLE: Final = Endpoint("events.get_debug_image_sample", since=(2, 12))
EVENTS_NEXT_DEBUG_IMAGE: Final = Endpoint("events.next_debug_image_sample", since=(2, 12))
EVENTS_SCALAR_NAMES: Final = Endpoint("events.get_scalar_metrics_and_variants")

BY_NAME: Final[Mapping[str, Endpoint]] = {found.name: found for found in [*globals().values()] if isinstance(found, Endpoint)}
"""Every endpoint above by its name."""
