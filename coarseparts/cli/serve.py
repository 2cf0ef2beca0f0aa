"""``coarseparts serve``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from coarseparts.cli import help, options
from coarseparts.cli.choices import Device, Flip, MaxPixels, Run
from coarseparts.cli.help import DataOption, PlaceOption, verb
from coarseparts.cli.terminal import note, say
from coarseparts.system.problems import BadInput, Problem

app = help.app()


@verb(
    app,
    examples=(
        "coarseparts serve runs/ants --images photos",
        "coarseparts serve runs/ants --host 0.0.0.0 --name host.docker.internal --token SECRET",
    ),
)
def serve(
    run: Run,
    images: Annotated[
        list[Path], DataOption(help="folder of the photographs that Label Studio's tasks name; may be repeated")
    ] = [],  # noqa: B006
    flip: Flip = None,
    max_pixels: MaxPixels = None,
    host: Annotated[str, PlaceOption(help="where to listen; others than this machine need the token")] = "127.0.0.1",
    port: Annotated[int, PlaceOption(min=0, max=65535, help="0: a free one")] = 9090,
    token: Annotated[str, PlaceOption(help="what requests must carry [on this machine nothing, else a new one]")] = "",
    names: Annotated[
        list[str], PlaceOption("--name", help="a name under which clients know this machine, with another --host")
    ] = [],  # noqa: B006
    device: Device = "auto",
) -> None:
    """A trained model for the tools where people work: Label Studio, X-AnyLabeling, or a plain call."""
    options.extra("app", "fastapi", "uvicorn")
    missing = [
        Problem(str(folder), "is no folder", "name a folder of photographs") for folder in images if not folder.is_dir()
    ]
    if missing:
        raise BadInput(missing)

    if token and len(token) < 8:
        raise BadInput(Problem("--token", "has fewer than 8 characters, which is soon guessed", "take a longer one"))

    from coarseparts.app import running
    from coarseparts.app.answers import Answers
    from coarseparts.app.service import MOST_BYTES, service_app
    from coarseparts.inference.model import load

    model = load(run, options.device(device), flip=flip)
    if not model.has_posterior:
        note(f"{run}: has no posterior (em and distillation train one): labels that tasks have do not change the parts")
    bound = running.listening(host, port)
    application = service_app(Answers(model), f"coarseparts-{run.resolve().name}", images)

    def ready(link: str) -> None:
        address, _, key = link.partition("?token=")
        say(f"{run}: answers at {address}" + (f", token {key}" if key and not token else ""))
        say("Label Studio: Settings > Model > Connect; X-AnyLabeling: server_url; POST /v1/parts; stop with Ctrl-C")

    needed: str | None = token or (None if running.is_loopback(host) else "")
    running.run(application, bound, host, MOST_BYTES, page=False, token=needed, names=tuple(names), ready=ready)
