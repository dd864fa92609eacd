"""Temporary ``airflow standalone`` with users who sign in. Requires Airflow 3.1 or newer."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from throwaway import Airflow, Database

# user name (also the password) -> role; a user without a role has no permissions
ROLES = {"ada": "admin", "vic": "viewer", "nora": ""}
PATH = "/airflow"  # served below a path, because URLs of the tab must not start at the root


class Standalone(Airflow):
    """``airflow standalone`` below a path, with users who sign in."""

    def __init__(self, home: Path, environment: Mapping[str, str], database: Database) -> None:
        super().__init__(home, environment, database, ["standalone"])
        self.server += PATH
        passwords = home / "passwords.json"
        passwords.write_text(json.dumps({name: name for name in ROLES}))
        self._environment |= {
            "AIRFLOW__API__BASE_URL": self.server,
            "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{self.server}/execution/",
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "False",
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": ",".join(f"{name}:{role}" for name, role in ROLES.items()),
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(passwords),
        }

    def _sign_in(self) -> None:
        response = self._session.post(f"{self.server}/auth/token", json={"username": "ada", "password": "ada"})
        self._session.headers["Authorization"] = f"Bearer {response.json()['access_token']}"

    def start_run(self, dag_id: str, run_id: str, **conf: object) -> None:
        """Start a DAG run with a run id."""
        self.unpause(dag_id)
        body = {"dag_run_id": run_id, "conf": conf, "logical_date": None}
        self.call("POST", f"dags/{dag_id}/dagRuns", body)

    def wait_for_task(self, run_id: str, task_id: str, *states: str) -> None:
        """Wait until a task has one of these states."""
        self.wait_for(f"select state from task_instance where run_id = '{run_id}' and task_id = '{task_id}'", *states)
