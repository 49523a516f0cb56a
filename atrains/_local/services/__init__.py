"""The server's endpoints over a `Store`, keyed as in the endpoint table; each is a plain function of store and request."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from atrains._local.services import changes, events, images, joined, lives, models, parts, projects, queues, raw, status, tasks, workers
from atrains._local.store import Store
from atrains._wire import endpoints
from atrains._wire.endpoints import Endpoint
from atrains.errors import ServerError

Service = Callable[[Store, Mapping[str, Any]], dict[str, Any]]

SERVICES: Final[Mapping[str, Service]] = {
    endpoint.name: service
    for endpoint, service in (
        (endpoints.PROJECTS_GET_ALL, projects.get_all),
        (endpoints.PROJECTS_GET_BY_ID, projects.get_by_id),
        (endpoints.PROJECTS_CREATE, projects.create),
        (endpoints.PROJECTS_GET_ALL_EX, joined.get_all_projects),
        (endpoints.PROJECTS_UPDATE, projects.update),
        (endpoints.TASKS_CREATE, tasks.create),
        (endpoints.TASKS_CLONE, lives.clone),
        (endpoints.TASKS_DELETE, lives.delete),
        (endpoints.TASKS_ARCHIVE, lives.archive),
        (endpoints.TASKS_UNARCHIVE_MANY, lives.unarchive_many),
        (endpoints.TASKS_GET_ALL_EX, joined.get_all_tasks),
        (endpoints.TASKS_GET_BY_ID, tasks.get_by_id),
        (endpoints.TASKS_GET_ALL, tasks.get_all),
        (endpoints.TASKS_EDIT, changes.edit),
        (endpoints.TASKS_UPDATE, changes.update),
        (endpoints.TASKS_UPDATE_TAGS, changes.update_tags),
        (endpoints.TASKS_EDIT_HYPER_PARAMS, changes.edit_hyper_params),
        (endpoints.TASKS_GET_HYPER_PARAMS, parts.get_hyper_params),
        (endpoints.TASKS_DELETE_HYPER_PARAMS, parts.delete_hyper_params),
        (endpoints.TASKS_EDIT_CONFIGURATION, parts.edit_configuration),
        (endpoints.TASKS_GET_CONFIGURATIONS, parts.get_configurations),
        (endpoints.TASKS_GET_CONFIGURATION_NAMES, parts.get_configuration_names),
        (endpoints.TASKS_DELETE_CONFIGURATION, parts.delete_configuration),
        (endpoints.TASKS_SET_REQUIREMENTS, parts.set_requirements),
        (endpoints.TASKS_DELETE_ARTIFACTS, parts.delete_artifacts),
        (endpoints.TASKS_ADD_OR_UPDATE_MODEL, parts.add_or_update_model),
        (endpoints.TASKS_DELETE_MODELS, parts.delete_models),
        (endpoints.TASKS_ADD_OR_UPDATE_ARTIFACTS, changes.add_or_update_artifacts),
        (endpoints.TASKS_PING, changes.ping),
        (endpoints.TASKS_RESET, status.reset),
        (endpoints.TASKS_STARTED, status.started),
        (endpoints.TASKS_STOP, lives.stop),
        (endpoints.TASKS_STOPPED, status.stopped),
        (endpoints.TASKS_COMPLETED, status.completed),
        (endpoints.TASKS_FAILED, status.failed),
        (endpoints.TASKS_PUBLISH, status.publish),
        (endpoints.TASKS_ENQUEUE, queues.enqueue),
        (endpoints.TASKS_DEQUEUE, queues.dequeue),
        (endpoints.QUEUES_CREATE, queues.create),
        (endpoints.QUEUES_GET_ALL, queues.get_all),
        (endpoints.QUEUES_GET_BY_ID, queues.get_by_id),
        (endpoints.QUEUES_GET_ALL_EX, joined.get_all_queues),
        (endpoints.QUEUES_GET_DEFAULT, queues.get_default),
        (endpoints.QUEUES_PEEK_TASK, queues.peek_task),
        (endpoints.QUEUES_GET_NUM_ENTRIES, queues.get_num_entries),
        (endpoints.QUEUES_GET_NEXT_TASK, queues.get_next_task),
        (endpoints.QUEUES_REMOVE_TASK, queues.remove_task),
        (endpoints.QUEUES_DELETE, queues.delete),
        (endpoints.WORKERS_REGISTER, workers.register),
        (endpoints.WORKERS_UNREGISTER, workers.unregister),
        (endpoints.WORKERS_STATUS_REPORT, workers.status_report),
        (endpoints.WORKERS_GET_ALL, workers.get_all),
        (endpoints.MODELS_CREATE, models.create),
        (endpoints.MODELS_EDIT, models.edit),
        (endpoints.MODELS_UPDATE, models.update),
        (endpoints.MODELS_GET_BY_ID, models.get_by_id),
        (endpoints.MODELS_GET_ALL, models.get_all),
        (endpoints.MODELS_UPDATE_FOR_TASK, models.update_for_task),
        (endpoints.MODELS_SET_READY, models.set_ready),
        (endpoints.MODELS_DELETE, models.delete),
        (endpoints.MODELS_ARCHIVE_MANY, models.archive_many),
        (endpoints.MODELS_UNARCHIVE_MANY, models.unarchive_many),
        (endpoints.EVENTS_GET_TASK_LOG, events.get_task_log),
        (endpoints.EVENTS_SCALAR_HISTOGRAM, events.scalar_metrics_iter_histogram),
        (endpoints.EVENTS_MULTI_TASK_HISTOGRAM, events.multi_task_scalar_metrics_iter_histogram),
        (endpoints.EVENTS_SINGLE_VALUES, events.get_task_single_value_metrics),
        (endpoints.EVENTS_LATEST_SCALARS, events.get_task_latest_scalar_values),
        (endpoints.EVENTS_GET_TASK_EVENTS, raw.get_task_events),
        (endpoints.EVENTS_SCALARS_RAW, raw.scalar_metrics_iter_raw),
        (endpoints.EVENTS_GET_TASK_PLOTS, raw.get_task_plots),
        (endpoints.EVENTS_GET_TASK_METRICS, raw.get_task_metrics),
        (endpoints.EVENTS_DEBUG_IMAGES, images.debug_images),
        (endpoints.EVENTS_DEBUG_IMAGE_SAMPLE, images.get_debug_image_sample),
        (endpoints.EVENTS_NEXT_DEBUG_IMAGE, images.next_debug_image_sample),
        (endpoints.EVENTS_SCALAR_NAMES, raw.get_scalar_metrics_and_variants),
    )
}


def call(store: Store, endpoint: Endpoint, request: Mapping[str, Any]) -> dict[str, Any]:
    """Answer a request as the server would.

    Raises:
        ServerError: with the server's code and sub-code.
        HomeError: the home cannot be read or written.
    """
    service = SERVICES.get(endpoint.name)
    if service is None:
        raise ServerError(
            f"Unknown service or action: {endpoint.name} (the local home does not have it)", code=404, subcode=0, endpoint=endpoint.name
        )
    try:
        return service(store, request)
    except OverflowError as error:  # of the index, whose numbers have 64 bits
        message = f"Validation error: a number is too large ({error})"
        raise ServerError(message, code=400, subcode=12, endpoint=endpoint.name) from error
    except ServerError as error:
        error.endpoint = endpoint.name
        raise
