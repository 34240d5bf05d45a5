# The requests that CAIO's documents show, one after the other, with every path that they name for the same. Above each
# command stands what is answered: the status, and members that the answer has at least. TOKEN and DECISION_ID are
# variables of the shell; localhost:8080 is where CAIO is unless it is told otherwise.

# Health needs no token.
#=> 200 {"status": "healthy", "components": {"orchestrator": "ok", "registry": "ok", "traceability": "ok"}}
curl http://localhost:8080/health

# Everything else does.
#=> 401 {"error": {"code": "SECURITY_VIOLATION"}}
curl http://localhost:8080/api/v1/services

#=> 401 {"error": {"code": "SECURITY_VIOLATION"}}
curl -X POST http://localhost:8080/api/v1/orchestrate \
  -H "Authorization: Bearer not-the-token" \
  -H "Content-Type: application/json" \
  -d '{"requirements": ["chat"], "context": {}}'

#=> 200 {"services": [], "count": 0}
curl -H "Authorization: Bearer $TOKEN" http://localhost:8080/api/v1/services

# Register: the contract as JSON.
#=> 200 {"service_id": "chat-001", "status": "registered", "message": "Service chat-001 registered successfully"}
curl -X POST http://localhost:8080/api/v1/register-service \
  -H "Authorization: Bearer $TOKEN" \
  -H "Content-Type: application/json" \
  -d '{
    "contract": {
      "service_id": "chat-001",
      "name": "Chat",
      "version": "1.0.0",
      "capabilities": [{"type": "chat", "accuracy": {"min": 0.9}}],
      "guarantees": {
        "accuracy": {"property": "classification_accuracy", "bound": {"min": 0.95}},
        "latency": {"property": "p95_latency_ms", "bound": {"max": 800}}
      },
      "constraints": {"requires_gpu": false},
      "privacy": {"data_locality": "cloud", "encryption": true},
      "api": {"protocol": "http", "base_url": "http://localhost:8000", "endpoints": [{"path": "/chat", "method": "POST"}]}
    }
  }'

# An id can be taken once: another contract under it is refused.
#=> 409 {"error": {"code": "SERVICE_ALREADY_REGISTERED"}}
curl -X POST http://localhost:8080/api/v1/services \
  -H "Authorization: Bearer $TOKEN" \
  -H "Content-Type: application/json" \
  -d '{"contract": {"service": {"id": "chat-001", "name": "Another", "version": "1.0.0", "capabilities": [{"type": "chat"}],
       "api": {"protocol": "http", "base_url": "http://localhost:8001", "endpoints": [{"path": "/chat", "method": "POST"}]}}}}'

#=> 400 {"error": {"code": "INVALID_CONTRACT"}}
curl -X POST http://localhost:8080/api/v1/services \
  -H "Authorization: Bearer $TOKEN" \
  -H "Content-Type: application/json" \
  -d '{"contract": {"service": {"id": "Not An Id"}}}'

# The contract as it is, in YAML.
#=> 200 {"service_id": "summarizer-001", "status": "registered"}
curl -X POST http://localhost:8080/api/v1/services \
  -H "Authorization: Bearer $TOKEN" \
  -H "Content-Type: application/yaml" \
  --data-binary @contract.yaml

#=> 200 {"service_id": "summarizer-001"}
curl -X DELETE -H "Authorization: Bearer $TOKEN" http://localhost:8080/api/v1/services/summarizer-001

#=> 404 {"error": {"code": "SERVICE_NOT_FOUND"}}
curl -X DELETE -H "Authorization: Bearer $TOKEN" http://localhost:8080/api/v1/services/summarizer-001

# The integration API is open: it takes no token.
#=> 200 {"is_valid": true, "errors": []}
curl -X POST http://localhost:8080/api/v1/integration/validate-contract \
  -H "Content-Type: application/json" \
  -d '{"contract": {"service_id": "a", "name": "A", "version": "1.0.0", "capabilities": ["chat"],
       "api": {"protocol": "http", "base_url": "http://localhost:8002", "endpoints": [{"path": "/chat", "method": "POST"}]}}}'

#=> 200 {"is_valid": false}
curl -X POST http://localhost:8080/api/v1/integration/validate-contract \
  -H "Content-Type: application/json" \
  -d '{"contract": {"service_id": "a", "name": "A"}}'

#=> 200 {"service_id": "summarizer-001", "status": "registered"}
curl -X POST http://localhost:8080/api/v1/integration/upload-contract \
  -F "file=@contract.yaml"

#=> 200 {"service_id": "chat-002", "status": "registered"}
curl -X POST http://localhost:8080/api/v1/integration/register-service \
  -H "Content-Type: application/json" \
  -d '{"service_id": "chat-002", "contract": {"service_id": "chat", "name": "Second chat", "version": "1.0.0", "capabilities": ["chat"],
       "guarantees": {"latency": {"p95": 900}},
       "api": {"protocol": "http", "base_url": "http://localhost:8003", "endpoints": [{"path": "/chat", "method": "POST"}]}}}'

#=> 200 {"count": 1, "services": [{"service_id": "summarizer-001", "status": "active"}]}
curl -X POST http://localhost:8080/api/v1/integration/discover-services \
  -H "Content-Type: application/json" \
  -d '{"capabilities": ["summarization"], "guarantees": {"accuracy": {"min": 0.9}}, "constraints": {"requires_gpu": false}}'

# List, with filters, and one.
#=> 200 {"count": 3}
curl -H "Authorization: Bearer $TOKEN" http://localhost:8080/api/v1/services

#=> 200 {"count": 2, "services": [{"service_id": "chat-001", "service_name": "Chat", "version": "1.0.0", "status": "active"}, {"service_id": "chat-002"}]}
curl -H "Authorization: Bearer $TOKEN" "http://localhost:8080/api/v1/services?capability=chat&status=active"

#=> 200 {"service_id": "chat-001"}
curl -H "Authorization: Bearer $TOKEN" http://localhost:8080/api/v1/services/chat-001

#=> 200 {"service_id": "chat-001"}
curl -H "Authorization: Bearer $TOKEN" http://localhost:8080/api/services/chat-001

#=> 404 {"error": {"code": "SERVICE_NOT_FOUND"}}
curl -H "Authorization: Bearer $TOKEN" http://localhost:8080/api/v1/services/nobody

# Orchestrate: the flat body, the nested one, and policies.
#=> 200 {"service_id": "summarizer-001", "service_name": "Summarizer"}
curl -X POST http://localhost:8080/api/v1/orchestrate \
  -H "Authorization: Bearer $TOKEN" \
  -H "Content-Type: application/json" \
  -d '{"requirements": ["summarization"], "context": {"language": "en"}}'

#=> 200 {"service_id": "chat-001", "proofs": [{"proof_type": "contract_matching", "valid": true}], "guarantees": {}, "trace": {}}
curl -X POST http://localhost:8080/api/v1/orchestrate \
  -H "Authorization: Bearer $TOKEN" \
  -H "Content-Type: application/json" \
  -d '{
    "request": {
      "intent": {"type": "chat"},
      "context": {},
      "requirements": {"capabilities": ["chat"], "guarantees": {"accuracy": {"min": 0.9}}},
      "constraints": {"requires_gpu": false},
      "user": {"trust_level": 1}
    },
    "policies": [{"type": "constraint", "field": "requires_gpu", "value": false}],
    "context": {}
  }'

#=> 400 {"error": {"code": "NO_MATCHING_SERVICE"}}
curl -X POST http://localhost:8080/api/v1/orchestrate \
  -H "Authorization: Bearer $TOKEN" \
  -H "Content-Type: application/json" \
  -d '{"requirements": ["image_generation"], "context": {}}'

# Trace, of the last decision.
#=> 200 {"decision": {"service_id": "chat-001"}, "proofs": [{"valid": true}], "guarantees": {}}
curl -H "Authorization: Bearer $TOKEN" http://localhost:8080/api/v1/trace/$DECISION_ID

#=> 404 {"error": {"code": "DECISION_NOT_FOUND"}}
curl -H "Authorization: Bearer $TOKEN" http://localhost:8080/api/v1/trace/unknown

#=> 200
curl -H "Authorization: Bearer $TOKEN" http://localhost:8080/metrics
