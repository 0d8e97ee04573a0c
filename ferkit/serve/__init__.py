"""The web app and its API: expressions in the browser, readings over time, one process.

Needs the extra ``serve``: ``pip install 'ferkit[serve]'``.
"""

from ferkit.errors import missing

try:
    import fastapi  # noqa: F401
    import python_multipart  # noqa: F401
    import sqlalchemy  # noqa: F401
    import uvicorn  # noqa: F401
    import websockets  # noqa: F401
except ImportError as error:
    raise missing(str(error.name), "serve") from None

from ferkit.serve.app import create_app
from ferkit.serve.limits import Limits
from ferkit.serve.run import serve
from ferkit.serve.settings import Settings

__all__ = ["Limits", "Settings", "create_app", "serve"]
