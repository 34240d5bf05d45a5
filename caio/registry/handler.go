package registry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/smarthaus/caio-bridge-go/caio"
	"github.com/smarthaus/caio-bridge-go/caio/internal/wire"
	"github.com/smarthaus/caio-bridge-go/caio/registry/internal/page"
	"github.com/smarthaus/caio-bridge-go/contract"
)

// An operation answers a request with a value to be sent as JSON, or an encoded one, with status 200, or with an error.
type operation func(*http.Request) (any, error)

// A body writes itself.
type body interface {
	contentType() string
	length() int
	writeTo(w io.Writer)
}

// An encoded is a body as it is to be sent.
type encoded struct {
	kind string
	text []byte
}

func (e encoded) contentType() string { return e.kind }
func (e encoded) length() int         { return len(e.text) }
func (e encoded) writeTo(w io.Writer) { w.Write(e.text) }

const asJSON = "application/json"

// newHandler serves both sets of paths that CAIO documents.
func (r *Registry) newHandler(g *guard) http.Handler {
	mux := http.NewServeMux()
	for pattern, o := range map[string]struct {
		role   role // beside administrators; "" for everybody
		answer operation
	}{
		"POST /api/v1/services":                      {forServices, r.postContract},
		"POST /api/v1/register-service":              {forServices, r.postContract},
		"POST /api/v1/integration/register-service":  {forServices, r.postContract},
		"POST /api/v1/integration/upload-contract":   {forServices, r.postUpload},
		"DELETE /api/v1/services/{id}":               {forServices, r.deleteService},
		"POST /api/v1/orchestrate":                   {forUsers, r.postOrchestrate},
		"GET /api/v1/trace/{id}":                     {forUsers, r.getTrace},
		"POST /api/v1/integration/validate-contract": {"", r.postValidate},
		"POST /api/v1/integration/discover-services": {"", r.postDiscover},
		"GET /api/v1/services":                       {"", r.getServices},
		"GET /api/v1/services/{id}":                  {"", r.getService},
		"GET /api/services/{id}":                     {"", r.getService},
		"GET /health":                                {"", r.getHealth},
		"GET /metrics":                               {"", r.getMetrics},
		"GET /page/decisions/{id}":                   {forUsers, r.getExplanation},
		"POST /page/decisions":                       {forUsers, r.postExplanation},
	} {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, req *http.Request) {
			err := roleOf(req.Context()).mayAct(o.role)
			var answer any
			if err == nil {
				answer, err = o.answer(req)
			}
			if err != nil {
				r.refuse(w, req, err)
				return
			}
			r.send(w, req, http.StatusOK, answer)
		})
	}
	mux.HandleFunc("GET /page/services", r.servePageServices)
	mux.HandleFunc("GET /page/decisions", r.servePageDecisions)
	front := page.New()
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		defer r.survive(w, req)
		caller, err := g.check(req)
		if wantsPage(req) && (err == nil || lacksToken(err)) {
			r.servePage(w, req, front, lacksToken(err))
			return
		}
		if err != nil {
			r.refuse(w, req, err)
			return
		}
		req = req.WithContext(context.WithValue(req.Context(), roleKey{}, caller))
		if fallback, pattern := mux.Handler(req); pattern == "" || path.Clean(req.URL.Path) != req.URL.Path { // which would be redirected
			r.refuseUnrouted(w, req, fallback)
			return
		}
		req.Body = http.MaxBytesReader(w, req.Body, maxBody)
		mux.ServeHTTP(w, req)
	})
}

func (r *Registry) postContract(req *http.Request) (any, error) {
	s, err := r.readContract(req)
	if err != nil {
		return nil, err
	}
	return r.register(req.Context(), s)
}

func (r *Registry) postUpload(req *http.Request) (any, error) {
	s, err := r.readUpload(req)
	if err != nil {
		return nil, err
	}
	return r.register(req.Context(), s)
}

// postValidate answers {"is_valid","errors"} for a readable request, whatever contract is in it. Beside the errors as
// text it gives them as diagnostics.
func (r *Registry) postValidate(req *http.Request) (any, error) {
	_, err := r.readContract(req)
	var faults contract.Diagnostics
	if err != nil && !errors.As(err, &faults) {
		return nil, err
	}
	messages := make([]string, len(faults))
	for i, fault := range faults {
		messages[i] = describe(fault)
	}
	return map[string]any{"is_valid": err == nil, "errors": messages, "diagnostics": diagnosticsBody(faults)}, nil
}

func (r *Registry) getService(req *http.Request) (any, error) {
	e, err := r.lookUp(req.PathValue("id"))
	if err != nil {
		return nil, err
	}
	service := e.service()
	service.Status, service.Contract = e.status(), e.contract // its JSON is that of the whole contract
	return service, nil
}

func (r *Registry) deleteService(req *http.Request) (any, error) {
	id := req.PathValue("id")
	if err := r.Unregister(req.Context(), id); err != nil {
		return nil, err
	}
	return caio.Registration{ServiceID: id, Status: "unregistered", Message: fmt.Sprintf("Service %s unregistered successfully", id)}, nil
}

func (r *Registry) postOrchestrate(req *http.Request) (any, error) {
	request, err := readRouting(req)
	if err != nil {
		return nil, err
	}
	s, err := r.route(req.Context(), request)
	if err != nil {
		return nil, err
	}
	return encoded{asJSON, s.answer}, nil
}

func (r *Registry) getTrace(req *http.Request) (any, error) {
	text, err := r.traceText(req.Context(), req.PathValue("id"))
	return encoded{asJSON, text}, err
}

func (r *Registry) getHealth(req *http.Request) (any, error) { return r.Health(req.Context()) }

// getMetrics answers in the text format of Prometheus.
func (r *Registry) getMetrics(*http.Request) (any, error) {
	r.sweep()
	var b strings.Builder
	metric := func(name, kind, help string, value float64) {
		fmt.Fprintf(&b, "# HELP %s %s\n# TYPE %[1]s %[3]s\n%[1]s %[4]g\n", name, help, kind, value)
	}
	used := r.services.usage()
	metric("caio_registry_services", "gauge", "Services that are registered.", float64(used.services))
	metric("caio_registry_services_bytes", "gauge", "Bytes of memory that the services take, as estimated for the bound.", float64(used.bytes))
	metric("caio_registry_capabilities", "gauge", "Different capabilities that the services offer.", float64(used.capabilities))
	metric("caio_registry_decisions_total", "counter", "Requests that were routed to a service.", float64(r.decided.Load()))
	metric("caio_registry_no_match_total", "counter", "Requests that no service met.", float64(r.unmatched.Load()))
	if r.replica != nil {
		metric("caio_registry_store_behind_seconds", "gauge", "For how long the services have not been as the shared store has them; 0 if they are.", r.replica.behind().Seconds())
	}
	metric("caio_registry_uptime_seconds", "gauge", "Seconds since the registry was made.", time.Since(r.started).Seconds())
	return encoded{"text/plain; version=0.0.4; charset=utf-8", []byte(b.String())}, nil
}

// send writes value as JSON, unless it writes itself.
func (r *Registry) send(w http.ResponseWriter, req *http.Request, status int, value any) {
	answer, ok := value.(body)
	if !ok {
		text, err := json.Marshal(value)
		if err != nil {
			r.log.Error("the answer is not JSON", "path", req.URL.Path, "error", err)
			status, text = http.StatusInternalServerError, []byte(`{"error":{"code":"INTERNAL_ERROR","message":"internal error","details":{}}}`)
		}
		answer = encoded{asJSON, text}
	}
	header := w.Header()
	header.Set("Content-Type", answer.contentType())
	header.Set("Content-Length", strconv.Itoa(answer.length()))
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	answer.writeTo(w)
}

// refuse answers with CAIO's error envelope. Errors that are not meant for the caller are logged and answered with 500.
func (r *Registry) refuse(w http.ResponseWriter, req *http.Request, err error) {
	var refusal *caio.Error
	if !errors.As(err, &refusal) {
		r.log.Error("request failed", "method", req.Method, "path", req.URL.Path, "error", err)
		refusal = &caio.Error{Status: http.StatusInternalServerError, Code: wire.InternalError, Message: "internal error"}
	}
	if refusal.Status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", `Bearer realm="caio"`)
	}
	if refusal.RetryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int(refusal.RetryAfter/time.Second)))
	}
	details := refusal.Details
	if details == nil {
		details = map[string]any{}
	}
	r.send(w, req, refusal.Status, map[string]any{
		"error": map[string]any{"code": refusal.Code, "message": refusal.Message, "details": details},
	})
}

// refuseUnrouted says in JSON what [http.ServeMux] would say in text: 404, or 405 with the methods that are allowed.
func (r *Registry) refuseUnrouted(w http.ResponseWriter, req *http.Request, fallback http.Handler) {
	probe := headOnly{header: make(http.Header)}
	fallback.ServeHTTP(&probe, req)
	what := wire.Clip(req.Method+" "+req.URL.Path, 200)
	if probe.status == http.StatusMethodNotAllowed {
		allowed := probe.header.Get("Allow")
		w.Header().Set("Allow", allowed)
		r.refuse(w, req, &caio.Error{Status: probe.status, Code: wire.MethodNotAllowed, Message: what + " is not offered; this path takes " + allowed})
		return
	}
	r.refuse(w, req, &caio.Error{Status: http.StatusNotFound, Code: wire.NotFound, Message: what + " is not offered"})
}

// headOnly is a response of which only the head is kept.
type headOnly struct {
	header http.Header
	status int
}

func (h *headOnly) Header() http.Header         { return h.header }
func (h *headOnly) WriteHeader(status int)      { h.status = status }
func (h *headOnly) Write(p []byte) (int, error) { return len(p), nil }

// survive answers for an operation that panicked.
func (r *Registry) survive(w http.ResponseWriter, req *http.Request) {
	switch fault := recover(); fault {
	case nil:
	case http.ErrAbortHandler:
		panic(fault)
	default:
		r.refuse(w, req, fmt.Errorf("panic: %v", fault))
	}
}
