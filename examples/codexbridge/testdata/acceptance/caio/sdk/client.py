"""A CAIO client on plain HTTP, with the calls that test_integration.py makes."""

import json
import urllib.parse
import urllib.request


class CAIOClient:
    """Talks to CAIO's HTTP API."""

    def __init__(self, base_url):
        self.base_url = base_url.rstrip("/")

    def register_service(self, contract):
        """Register the service that the contract describes."""
        return self._send("POST", "/api/v1/services", {"contract": contract})

    def list_services(self, capability=None):
        """List the registered services, those with a capability if one is named."""
        query = "?" + urllib.parse.urlencode({"capability": capability}) if capability else ""
        return self._send("GET", "/api/v1/services" + query)

    def route_request(self, request):
        """Ask which service a request goes to."""
        return self._send("POST", "/api/v1/orchestrate", request)

    def _send(self, method, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(self.base_url + path, data, headers, method=method)
        with urllib.request.urlopen(request, timeout=10) as response:
            return json.load(response)
