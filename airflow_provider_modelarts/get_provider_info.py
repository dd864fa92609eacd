"""Provider metadata for Airflow. Every Airflow process loads this module: it imports nothing heavy."""

from __future__ import annotations

from airflow_provider_modelarts import __version__

CONNECTION_TYPE = "modelarts"
HOOK_NAME = "Huawei Cloud ModelArts"

#: Values of the field ``auth``. A blank field means the first.
AUTH_METHODS = ["aksk", "password", "ecs_metadata", "environment"]

#: Extra fields of the connection: name -> label, description, and additions to the JSON schema of its text.
#: Airflow 3.2 and later build the form from provider metadata, 2.11 to 3.1 from the hook's class methods. Both read
#: this table; 2.11 to 3.1 ignore all of the schema but "format".
EXTRA_FIELDS: dict[str, tuple[str, str, dict[str, object]]] = {
    "auth": (
        "Authentication",
        "Blank or aksk: access key. Others: password, ecs_metadata, environment.",
        {"enum": AUTH_METHODS},
    ),
    "domain_name": ("Account name", "Account of the IAM user, for password authentication.", {}),
    "region": ("Region", "Such as cn-north-4. Required; determines the endpoints and the project.", {}),
    "project_id": ("Project ID", "Blank: looked up in IAM by the region's name.", {}),
    "security_token": ("Security token", "For temporary access keys only.", {"format": "password"}),
    "endpoint": ("ModelArts endpoint", "Blank: https://modelarts.<region>.myhuaweicloud.com", {}),
    "iam_endpoint": ("IAM endpoint", "Blank: the region's. For tokens and the lookup of the project id.", {}),
    "console_url": ("Console", "Base URL for links. Blank: https://console.huaweicloud.com", {}),
    "job_name_prefix": ("Job name prefix", "Prefix of the names of the jobs that this deployment creates.", {}),
    "verify": ("Verify TLS", "Blank or true; false; or the path to a CA bundle.", {}),
    "timeout": ("Timeout", "Seconds: one number, or connect and read such as 10,60. Blank: 10,60.", {}),
    "retry_seconds": ("Retry time", "Seconds for which a failed call is retried. Blank: 90; 0: no retry.", {}),
    "proxies": ("Proxies", 'JSON such as {"https": "http://proxy:3128"}. Blank: from the environment.', {}),
}
HIDDEN_FIELDS = ["schema"]
RELABELING = {
    "login": "Access key ID (or IAM user)",
    "password": "Secret access key (or password)",
    "host": "Host (instead of the endpoint)",
    "port": "Port (required by Test: 443)",
}
PLACEHOLDERS = {
    "login": "Access key ID (AK)",
    "password": "Secret access key (SK)",
    "host": "Leave blank to use the region's endpoint",
    "port": "443",
}


def get_provider_info() -> dict[str, object]:
    """Return the metadata of this provider."""
    root = "airflow_provider_modelarts"
    return {
        "package-name": "airflow-provider-modelarts",
        "name": HOOK_NAME,
        "description": "Hyperparameter search and retraining on Huawei Cloud ModelArts.",
        "versions": [__version__],
        "integrations": [
            {
                "integration-name": HOOK_NAME,
                "external-doc-url": "https://support.huaweicloud.com/intl/en-us/modelarts/",
                "tags": ["service"],
            }
        ],
        "connection-types": [
            {
                "connection-type": CONNECTION_TYPE,
                "hook-class-name": f"{root}.hooks.modelarts.ModelArtsHook",
                "hook-name": HOOK_NAME,
                "ui-field-behaviour": {
                    "hidden-fields": HIDDEN_FIELDS,
                    "relabeling": RELABELING,
                    "placeholders": PLACEHOLDERS,
                },
                "conn-fields": {name: _form_field(*field) for name, field in EXTRA_FIELDS.items()},
            }
        ],
        "hooks": [_modules(f"{root}.hooks.modelarts")],
        "operators": [_modules(f"{root}.operators.modelarts")],
        "sensors": [_modules(f"{root}.sensors.modelarts")],
        "triggers": [_modules(f"{root}.triggers.modelarts")],
        "extra-links": [f"{root}.links.modelarts.ModelArtsTrainingJobLink"],
    }


def _modules(module: str) -> dict[str, object]:
    return {"integration-name": HOOK_NAME, "python-modules": [module]}


def _form_field(label: str, description: str, schema: dict[str, object]) -> dict[str, object]:
    return {"label": label, "description": description, "schema": {"type": ["string", "null"], **schema}}
