"""The unit of the figures: what Flask needs to answer a POST with a small, constant JSON document."""

from flask import Flask

app = Flask(__name__)


@app.post("/noop")
def noop() -> dict[str, bool]:
    return {"granted": True}
