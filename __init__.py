"""The FantasyID node pack; ComfyUI calls `comfy_entrypoint`. Nothing is imported before that."""

WEB_DIRECTORY = "./web"


async def comfy_entrypoint():
    """The pack's extension: its nodes and model folders."""
    from .nodes import FantasyIDExtension

    return FantasyIDExtension()
