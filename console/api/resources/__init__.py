"""One module a part of the bus; each only reads the request, calls core and shows what came of it."""
