"""What Airflow asks of a provider. Every Airflow process loads this module, so it imports nothing."""

from __future__ import annotations

from airflow_provider_modelarts import __version__

CONNECTION_TYPE = "modelarts"
HOOK_NAME = "Huawei Cloud ModelArts"

#: What the field for the sign-in may say. The first is also meant by a blank one.
SIGN_INS = ["aksk", "password", "ecs_metadata", "environment"]

#: Extra fields of the connection: name -> label, description, and what else its JSON schema says of this text.
#: Airflow 3.2 and later build the form from provider metadata, 2.11 to 3.1 from the hook's class methods; both read
#: this table, the older ones nothing but "format" of its schemas.
EXTRA_FIELDS: dict[str, tuple[str, str, dict[str, object]]] = {
    "auth": ("Sign-in", "Blank or aksk; password; ecs_metadata; environment. See the README.", {"enum": SIGN_INS}),
    "domain_name": ("Account name", "Of the IAM user, for the sign-in by password.", {}),
    "region": ("Region", "Such as cn-north-4. Names the endpoints and the project.", {}),
    "project_id": ("Project ID", "Blank: looked up in IAM by the region's name.", {}),
    "security_token": ("Security token", "Only for temporary access keys.", {"format": "password"}),
    "endpoint": ("ModelArts endpoint", "Blank: https://modelarts.<region>.myhuaweicloud.com", {}),
    "iam_endpoint": ("IAM endpoint", "Blank: the region's. For tokens, and to look up the project id.", {}),
    "console_url": ("Console", "Base URL for links. Blank: https://console.huaweicloud.com", {}),
    "job_name_prefix": ("Job name prefix", "Of this deployment: put before the names of jobs it creates.", {}),
    "verify": ("Verify TLS", "Blank or true; false; or the path of a CA bundle.", {}),
    "timeout": ("Timeout", "Seconds: one number, or connect and read such as 10,60. Blank: 10,60.", {}),
    "retry_seconds": ("Retry time", "Seconds for which one call is tried. Blank: 90; 0: once.", {}),
    "proxies": ("Proxies", 'JSON such as {"https": "http://proxy:3128"}. Blank: from the environment.', {}),
}
HIDDEN_FIELDS = ["schema"]
RELABELING = {
    "login": "Access key ID (or IAM user)",
    "password": "Secret access key (or password)",
    "host": "Host (instead of the endpoint)",
    "port": "Port (Test needs one: 443)",
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
