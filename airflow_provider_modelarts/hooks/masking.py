"""Masks what was obtained at run time in the logs, on every Airflow."""

from __future__ import annotations

from importlib import import_module


def mask_secret(secret: str) -> None:
    """Mask a secret in the logs of this task."""
    try:
        masker = import_module("airflow.sdk.log")
    except ImportError:  # below Airflow 3.1
        masker = import_module("airflow.utils.log.secrets_masker")
    masker.mask_secret(secret)


async def mask_secret_async(secret: str) -> None:
    """Mask a secret, without blocking the event loop of a triggerer."""
    try:
        from airflow.sdk.log import amask_secret  # from Airflow 3.3 on
    except ImportError:
        from asgiref.sync import sync_to_async

        await sync_to_async(mask_secret)(secret)
    else:
        await amask_secret(secret)
