"""The unit of comparison: a Flask app that answers a POST with a small, constant JSON document."""

from flask import Flask

app = Flask(__name__)


@app.post("/noop")
def noop() -> dict[str, bool]:
    return {"granted": True}
