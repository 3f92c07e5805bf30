# mypy: disable-error-code="import-not-found, untyped-decorator"
"""A local MCP server, for ``with_langchain_mcp.py``, written with the mcp 1 that langchain-mcp-adapters asks for."""

from mcp.server.fastmcp import FastMCP

server = FastMCP("weather")


@server.tool()
def get_weather(city: str) -> str:
    """Get the weather in a city."""
    return f"It is sunny in {city}."


@server.prompt()
def greeting(language: str) -> str:
    """Ask for a greeting."""
    return f"Say hello in {language}."


if __name__ == "__main__":
    server.run(transport="stdio")
