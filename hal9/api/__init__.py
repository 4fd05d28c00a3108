"""HTTP: the way into a cluster from another process or machine.

One table of endpoints (`ENDPOINTS`) gives routes and OpenAPI schema; `ApiServer` serves them;
`RemoteCluster` is the client with the same face as the local one.
"""
