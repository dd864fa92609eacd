"""Error responses of ModelArts and its gateway."""

from __future__ import annotations

from modelarts_emulator.json_values import JSON

_CHECK_JOB = "Check whether the training job information in the request is valid."
_CHECK_PROJECT = "Check whether the training project information in the request is valid."
_CHECK_PARAMETER = "Check whether the parameters in the request are valid."


class Refusal(Exception):  # noqa: N818 - a response, not a failure of the emulator
    """An error response with the platform's own code.

    :param solution: advice, which ModelArts sends and its gateway does not.
    """

    def __init__(self, status: int, code: str, message: str, solution: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.solution = solution

    def body(self, request_id: str) -> dict[str, JSON]:
        """Return the JSON of the response, with the advice or, from the gateway, the request id."""
        body: dict[str, JSON] = {"error_msg": self.message, "error_code": self.code}
        if self.code.startswith("APIGW."):
            return {**body, "request_id": request_id}
        return {**body, "error_solution": self.solution}


def bad_credentials(reason: str) -> Refusal:
    """Return the gateway's refusal of a caller; ``reason`` is in the gateway's words."""
    return Refusal(401, "APIGW.0301", f"Incorrect IAM authentication information: {reason}")


def no_such_api() -> Refusal:
    """Return the refusal of a path that no operation has."""
    return Refusal(404, "APIGW.0101", "The API does not exist or has not been published in the environment")


def too_large() -> Refusal:
    """Return the refusal of a body above the gateway's limit."""
    return Refusal(413, "APIGW.0201", "Request entity too large")


def method_not_allowed() -> Refusal:
    """Return the refusal of a method that no operation with this path has."""
    return Refusal(405, "ModelArts.2803", "Method not allowed.", _CHECK_PARAMETER)


def wrong_project() -> Refusal:
    """Return the refusal of a path with the project id of another account."""
    message = "The project ID in the request does not match that of the caller."
    return Refusal(404, "ModelArts.2786", message, _CHECK_PROJECT)


def job_not_found(job_id: str) -> Refusal:
    """Return the refusal of an unknown job id. The platform sends status 400."""
    return Refusal(400, "ModelArts.2775", f"Training job (ID: {job_id}) not found.", _CHECK_JOB)


def algorithm_not_found() -> Refusal:
    """Return the refusal of an unknown algorithm id."""
    return Refusal(400, "ModelArts.2755", "algorithm not found.", _CHECK_PROJECT)


def bad_parameter(name: str) -> Refusal:
    """Return the refusal of a query parameter out of range."""
    return Refusal(400, "ModelArts.2764", f"Invalid query parameter ({name}).", _CHECK_PARAMETER)


def bad_body() -> Refusal:
    """Return the refusal of a body that is not a JSON object."""
    return Refusal(400, "ModelArts.2787", "Invalid JSON body.", _CHECK_PARAMETER)


def bad_filter(code: str, what: str) -> Refusal:
    """Return the refusal of a condition of a job search; ``code`` depends on the part that is wrong."""
    return Refusal(400, code, f"Invalid {what}.", _CHECK_PARAMETER)


def bad_request(code: str, message: str) -> Refusal:
    """Return the refusal of an invalid request; ``code`` is the number of the platform's code."""
    return Refusal(400, f"ModelArts.{code}", message, _CHECK_PARAMETER)


def trial_not_found(trial_id: str) -> Refusal:
    """Return the refusal of an unknown trial id. The platform documents no code for it."""
    return bad_request("2788", f"Trial (ID: {trial_id}) not found.")


def not_allowed_to_terminate(job_id: str, phase: str) -> Refusal:
    """Return the refusal to stop a job that has ended or is already being stopped."""
    message = f"The training job (ID: {job_id}) is not allowed to be terminated: it is {phase}."
    return Refusal(409, "ModelArts.2796", message, _CHECK_JOB)


def bad_event_query(name: str) -> Refusal:
    """Return the refusal of a parameter of an event listing."""
    return Refusal(400, "ModelArts.50004000", f"Bad request: {name}.", _CHECK_PARAMETER)
