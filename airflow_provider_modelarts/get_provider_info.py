"""What Airflow asks of a provider. Every Airflow process loads this module, so it imports nothing."""

from __future__ import annotations

from airflow_provider_modelarts import __version__

CONNECTION_TYPE = "modelarts"
HOOK_NAME = "Huawei Cloud ModelArts"

#: Extra fields of the connection: name -> label, description, is it a secret. Airflow 3.2 and later build the form
#: from provider metadata, 2.11 to 3.1 from the hook's class methods; both read this table.
EXTRA_FIELDS: dict[str, tuple[str, str, bool]] = {
    "region": ("Region", "Such as cn-north-4. Names the endpoints and the project.", False),
    "project_id": ("Project ID", "Blank: looked up in IAM by the region's name.", False),
    "security_token": ("Security token", "Only for temporary access keys.", True),
    "endpoint": ("ModelArts endpoint", "Blank: https://modelarts.<region>.myhuaweicloud.com", False),
    "iam_endpoint": ("IAM endpoint", "Blank: the region's. Only used to look up the project id.", False),
    "console_url": ("Console", "Base URL for links. Blank: https://console.huaweicloud.com", False),
    "job_name_prefix": ("Job name prefix", "Of this deployment: put before the names of jobs it creates.", False),
    "verify": ("Verify TLS", "Blank or true; false; or the path of a CA bundle.", False),
    "timeout": ("Timeout", "Seconds: one number, or connect and read such as 10,60. Blank: 10,60.", False),
    "retry_seconds": ("Retry time", "Seconds for which one call is tried. Blank: 90; 0: once.", False),
    "proxies": ("Proxies", 'JSON such as {"https": "http://proxy:3128"}. Blank: from the environment.', False),
}
HIDDEN_FIELDS = ["schema"]
RELABELING = {
    "login": "Access key ID",
    "password": "Secret access key",
    "host": "Host (instead of the endpoint)",
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


def _form_field(label: str, description: str, is_secret: bool) -> dict[str, object]:
    schema: dict[str, object] = {"type": ["string", "null"]}
    if is_secret:
        schema["format"] = "password"
    return {"label": label, "description": description, "schema": schema}
