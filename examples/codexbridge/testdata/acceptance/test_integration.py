"""Integration tests for Codex Bridge Service."""

import pytest
import requests
from pathlib import Path
import yaml
from caio.sdk.client import CAIOClient

BASE_URL = "http://localhost:8082"
CAIO_URL = "http://localhost:8080"

def test_codex_bridge_health():
    """Test Codex bridge service health endpoint."""
    response = requests.get(f"{BASE_URL}/health")
    assert response.status_code == 200
    data = response.json()
    assert data["status"] == "healthy"
    assert data["service"] == "codex-bridge"

def test_codex_bridge_generate():
    """Test Codex bridge service code generation."""
    request = {
        "prompt": "Write a Python function to add two numbers",
        "context": {"language": "python"}
    }
    response = requests.post(f"{BASE_URL}/generate", json=request)
    assert response.status_code == 200
    data = response.json()
    assert "code" in data or "result" in data

def test_codex_service_registration():
    """Test Codex service registration with CAIO."""
    # Load contract
    contract_path = Path("configs/services/external/codex.yaml")
    with open(contract_path, "r") as f:
        contract = yaml.safe_load(f)
    
    # Register service
    client = CAIOClient(base_url=CAIO_URL)
    response = client.register_service(contract=contract)
    assert response["status"] == "registered"
    assert response["service_id"] == "codex-bridge-001"

def test_codex_service_discovery():
    """Test Codex service discovery via CAIO."""
    client = CAIOClient(base_url=CAIO_URL)
    services = client.list_services(capability="code_generation")
    assert len(services["services"]) > 0
    codex_service = next(
        (s for s in services["services"] if s["service_id"] == "codex-bridge-001"),
        None
    )
    assert codex_service is not None
    assert "code_generation" in codex_service["capabilities"]

def test_codex_service_routing():
    """Test CAIO routing to Codex service."""
    client = CAIOClient(base_url=CAIO_URL)
    request = {
        "requirements": ["code_generation"],
        "context": {
            "prompt": "Write a Python function",
            "language": "python"
        }
    }
    result = client.route_request(request=request)
    assert result["service_id"] == "codex-bridge-001"
    assert result["guarantees"] is not None
