package bridge

import "net/http"

// What the OpenAPI document says of calls that become jobs, and of calls that are repeated.
var (
	preferParameter = object{
		"name": "Prefer", "in": "header", "schema": text,
		"description": "RFC 7240. With respond-async the call becomes a job: the answer is 202, and Location names the job. With wait=SECONDS it is given up (504) after that time.",
	}
	keyParameter = object{
		"name": "Idempotency-Key", "in": "header", "schema": object{"type": "string", "minLength": 1, "maxLength": 512},
		"description": "A repeated call with the same key and body gets what the first one came to, with Idempotency-Replayed: true, and is not executed again. At most 255 characters, with or without quotes.",
	}
	encodingParameter = object{
		"name": "Content-Encoding", "in": "header", "schema": object{"enum": []string{"identity", "gzip"}}, "description": "How the body is compressed. What is bounded is also its size after that.",
	}
	lastEventParameter = object{
		"name": "Last-Event-ID", "in": "header", "schema": text, "description": "Of a stream: the last event that the caller has seen.",
	}
	jobParameter = object{"name": "id", "in": "path", "required": true, "schema": text}

	jobReference = object{"$ref": "#/components/schemas/Job"}
	jobAccepted  = object{
		"description": "The call is a job now, or its cancellation has begun.",
		"headers": object{
			"Location":           object{"schema": text, "description": "Path of the job."},
			"Preference-Applied": object{"schema": text, "description": "respond-async"},
			"Retry-After":        object{"schema": object{"type": "integer"}, "description": "When to look for it, in seconds."},
		},
		"content": object{"application/json": object{"schema": jobReference}},
	}
)

// jobSchema describes [jobReport].
var jobSchema = object{
	"description": "A call that goes on without its caller.",
	"type":        "object",
	"required":    []string{"id", "status", "endpoint", "request_id", "created_at"},
	"properties": object{
		"id":          text,
		"status":      object{"enum": []jobStatus{jobRunning, jobSucceeded, jobFailed, jobCancelled}},
		"endpoint":    object{"type": "string", "description": "Method and path of the call."},
		"request_id":  object{"type": "string", "description": "Of the request that began it."},
		"created_at":  object{"type": "string", "format": "date-time"},
		"finished_at": object{"type": "string", "format": "date-time"},
		"expires_at":  object{"type": "string", "format": "date-time", "description": "When the job is no longer kept."},
		"result":      object{"description": "What the call would have answered, if it succeeded."},
		"error":       object{"$ref": "#/components/schemas/Problem"},
	},
}

// addJobs describes what /jobs serves.
func (doc *openAPI) addJobs() {
	doc.schemas["Job"] = jobSchema
	get := doc.jobOperation(http.MethodGet, "A job", "The state of a job and, once it has finished, its outcome; or its events, as server-sent events.")
	get["parameters"] = []object{jobParameter, lastEventParameter}
	responses := get["responses"].(object)
	responses["200"] = object{
		"description": "The job.",
		"headers":     object{"Retry-After": object{"schema": object{"type": "integer"}, "description": "When to look again, in seconds, while the job is running."}},
		"content": object{
			"application/json": object{"schema": jobReference},
			eventStreamType:    object{"schema": object{"type": "string", "description": "Server-sent events: those of the operation, a \"gap\" where some are no longer kept, then one \"result\" or \"error\"."}},
		},
	}
	responses["204"] = object{"description": "The caller has seen the end of the stream."}
	responses["400"] = problemResponse("Last-Event-ID is malformed, or the request has a body.")
	responses["406"] = problemResponse("A job is JSON or a stream of events.")
	responses["429"] = problemResponse("Too many follow the job.")

	end := doc.jobOperation(http.MethodDelete, "Cancel a job", "Cancels a job that is running, and removes one that has finished.")
	end["parameters"] = []object{jobParameter}
	responses = end["responses"].(object)
	responses["202"] = jobAccepted
	responses["204"] = object{"description": "The job had finished, and is removed."}
}

func (doc *openAPI) jobOperation(method, summary, description string) object {
	operation := object{
		"operationId": doc.operationName(method, jobPattern), "summary": summary, "description": description, "tags": []string{serviceTag},
		"responses": object{
			"400": problemResponse("The request has a body."),
			"403": problemResponse("The host or origin may not call."),
			"404": problemResponse("There is no such job of the caller."),
			"503": problemResponse("The store of jobs failed."),
		},
	}
	if doc.secured {
		operation["security"] = []object{{"bearer": []string{}}}
		operation["responses"].(object)["401"] = problemResponse("Credentials are missing or wrong.")
	}
	doc.add(jobPattern, method, operation)
	return operation
}
