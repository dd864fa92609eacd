"""A throw-away ``airflow standalone``, whose users sign in. Needs Airflow 3.1 or newer."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from throwaway import Airflow, Database

# of each user the name, which is the password too, and the role; who has no role may read nothing
ROLES = {"ada": "admin", "vic": "viewer", "nora": ""}
PATH = "/airflow"  # that it is served below, to see that no address is taken to begin at the root


class Standalone(Airflow):
    """``airflow standalone``, below a path and with users who sign in."""

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
        answer = self._session.post(f"{self.server}/auth/token", json={"username": "ada", "password": "ada"})
        self._session.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"

    def begin(self, dag_id: str, run_id: str, **conf: object) -> None:
        """Start a run with an id."""
        self.unpause(dag_id)
        body = {"dag_run_id": run_id, "conf": conf, "logical_date": None}
        self.call("POST", f"dags/{dag_id}/dagRuns", body)

    def wait_for_task(self, run_id: str, task_id: str, *states: str) -> None:
        """Wait until a task is in one of some states."""
        self.wait_for(f"select state from task_instance where run_id = '{run_id}' and task_id = '{task_id}'", *states)
