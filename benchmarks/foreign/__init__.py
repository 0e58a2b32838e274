"""Our own asyncio core beside the same application on others' servers, in one run."""
