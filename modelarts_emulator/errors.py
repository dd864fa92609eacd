"""The ways in which ModelArts and its gateway say no."""

from __future__ import annotations

from airflow_provider_modelarts.core.json_values import JSON

_BAD_CREDENTIALS = "Incorrect IAM authentication information"
_CHECK_JOB = "Check whether the training job information in the request is valid."
_CHECK_PROJECT = "Check whether the training project information in the request is valid."
_CHECK_PARAMETER = "Check whether the parameters in the request are valid."


class Refusal(Exception):  # noqa: N818 - not a failure of this program: an answer
    """An answer that says no, with the platform's own code.

    :param solution: the advice that ModelArts gives and its gateway does not.
    """

    def __init__(self, status: int, code: str, message: str, solution: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.solution = solution

    def body(self, request_id: str) -> dict[str, JSON]:
        """Return the JSON of the answer: ModelArts gives advice, its gateway the id of the request."""
        body: dict[str, JSON] = {"error_msg": self.message, "error_code": self.code}
        if self.code.startswith("APIGW."):
            return {**body, "request_id": request_id}
        return {**body, "error_solution": self.solution}


def bad_credentials(reason: str) -> Refusal:
    """The gateway does not let the caller in; ``reason`` is in its words."""
    return Refusal(401, "APIGW.0301", f"{_BAD_CREDENTIALS}: {reason}")


def no_such_api() -> Refusal:
    """No operation has this path."""
    return Refusal(404, "APIGW.0101", "The API does not exist or has not been published in the environment")


def too_large() -> Refusal:
    """The body is longer than the gateway takes."""
    return Refusal(413, "APIGW.0201", "Request entity too large")


def method_not_allowed() -> Refusal:
    """An operation has this path, but with another method."""
    return Refusal(405, "ModelArts.2803", "Method not allowed.", _CHECK_PARAMETER)


def wrong_project() -> Refusal:
    """The project in the path is not the caller's."""
    message = "The project ID in the request does not match that of the caller."
    return Refusal(404, "ModelArts.2786", message, _CHECK_PROJECT)


def job_not_found(job_id: str) -> Refusal:
    """There is no such training job. The platform says so with status 400."""
    return Refusal(400, "ModelArts.2775", f"Training job (ID: {job_id}) not found.", _CHECK_JOB)


def algorithm_not_found() -> Refusal:
    """There is no such algorithm."""
    return Refusal(400, "ModelArts.2755", "algorithm not found.", _CHECK_PROJECT)


def bad_parameter(name: str) -> Refusal:
    """A parameter of a query is out of its range."""
    return Refusal(400, "ModelArts.2764", f"Invalid query parameter ({name}).", _CHECK_PARAMETER)


def bad_body() -> Refusal:
    """The body is no JSON object."""
    return Refusal(400, "ModelArts.2787", "Invalid JSON body.", _CHECK_PARAMETER)


def bad_filter(code: str, what: str) -> Refusal:
    """A condition of a job search cannot be read; ``code`` tells which part of it."""
    return Refusal(400, code, f"Invalid {what}.", _CHECK_PARAMETER)


def bad_request(code: str, message: str) -> Refusal:
    """What was sent cannot be done; ``code`` is the number of the platform's code."""
    return Refusal(400, f"ModelArts.{code}", message, _CHECK_PARAMETER)


def trial_not_found(trial_id: str) -> Refusal:
    """The job has no such trial. The platform publishes no code for it."""
    return bad_request("2788", f"Trial (ID: {trial_id}) not found.")


def not_allowed_to_terminate(job_id: str, phase: str) -> Refusal:
    """The job has ended, or is being stopped already."""
    message = f"The training job (ID: {job_id}) is not allowed to be terminated: it is {phase}."
    return Refusal(409, "ModelArts.2796", message, _CHECK_JOB)


def bad_event_query(name: str) -> Refusal:
    """A parameter of an event listing is out of its range."""
    return Refusal(400, "ModelArts.50004000", f"Bad request: {name}.", _CHECK_PARAMETER)
