//go:build unix

package perf_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"runtime/debug"

	"github.com/openai/openai-go/v3/option"
	"github.com/openai/openai-go/v3/packages/param"
	"github.com/openai/openai-go/v3/responses"
	"github.com/prometheus/client_golang/prometheus"
	exporter "go.opentelemetry.io/otel/exporters/prometheus"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/smarthaus/caio-bridge-go/bridge"
	"github.com/smarthaus/caio-bridge-go/providers/codex"
)

const (
	direct      = "none: the model's server itself"
	proxy       = "httputil.ReverseProxy"
	passage     = "openai-go alone"
	sdkBridge   = "bridge of openai-go without checks"
	handwritten = "hand-written bridge"
	ours        = "bridge"
	tuned       = "bridge as the example runs it"
)

// servers serve on a listener; all but the first call the model's server at the host given.
var servers = map[string]func(ln net.Listener, upstream string) error{
	direct:      func(ln net.Listener, _ string) error { return http.Serve(ln, http.HandlerFunc(serveModel)) },
	proxy:       func(ln net.Listener, upstream string) error { return http.Serve(ln, newProxy(upstream)) },
	passage:     func(ln net.Listener, upstream string) error { return http.Serve(ln, newPassage(upstream)) },
	sdkBridge:   func(ln net.Listener, upstream string) error { return http.Serve(ln, newSDKBridge(upstream)) },
	handwritten: func(ln net.Listener, upstream string) error { return http.Serve(ln, newHandBridge(upstream)) },
	ours:        serveBridge,
	tuned: func(ln net.Listener, upstream string) error {
		debug.SetGCPercent(400)
		return serveBridge(ln, upstream)
	},
}

func serveBridge(ln net.Listener, upstream string) error {
	b, err := newBridge(upstream)
	if err != nil {
		return err
	}
	return b.Serve(context.Background(), ln)
}

// pool is what http.DefaultTransport lacks for many calls to one host over HTTP/1.1. Whoever measures finds that soon.
func pool() *http.Transport {
	return &http.Transport{MaxIdleConnsPerHost: 256}
}

// newProxy makes a proxy that answers while the request's body is still being read, as far as the server knows: without
// that some answers break off, because net/http closes the body under the proxy's transport.
func newProxy(upstream string) http.Handler {
	p := &httputil.ReverseProxy{
		Rewrite:   func(r *httputil.ProxyRequest) { r.SetURL(&url.URL{Scheme: "http", Host: upstream}) },
		Transport: pool(),
		ErrorLog:  log.New(io.Discard, "", 0), // clients that leave
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).EnableFullDuplex() // HTTP/1.1 can
		p.ServeHTTP(w, r)
	})
}

// newBridge makes the bridge with all that it can do turned on: callers are authenticated, requests and answers validated,
// limits kept, calls logged, counted for Prometheus, and one in ten traced.
func newBridge(upstream string) (*bridge.Bridge, error) {
	provider, err := codex.New(&codex.Options{APIKey: "sk-perf", BaseURL: "http://" + upstream + "/v1"})
	if err != nil {
		return nil, err
	}
	promised, err := codex.Contract()
	if err != nil {
		return nil, err
	}
	promised.Constraints.MaxConcurrentRequests = 1000 // limits are kept, but not reached
	promised.Constraints.RateLimit.PerMinute = 10_000_000
	promised.Constraints.RateLimit.PerHour = 100_000_000
	reader, err := exporter.New(exporter.WithRegisterer(prometheus.NewRegistry()))
	if err != nil {
		return nil, err
	}
	accessLog, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		return nil, err
	}
	return bridge.New(promised, provider, &bridge.Options{
		Logger:         slog.New(slog.NewTextHandler(accessLog, nil)),
		MeterProvider:  sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader)),
		TracerProvider: sdktrace.NewTracerProvider(sdktrace.WithBatcher(discard{}), sdktrace.WithSampler(sdktrace.TraceIDRatioBased(0.1))),
		Authenticate:   bridge.BearerTokens(map[string]string{"caller": token}),
	})
}

const token = "a-token-of-some-length-0123456789"

// discard is where spans go.
type discard struct{}

func (discard) ExportSpans(context.Context, []sdktrace.ReadOnlySpan) error { return nil }
func (discard) Shutdown(context.Context) error                             { return nil }

func newService(upstream string) responses.ResponseService {
	return responses.NewResponseService(
		option.WithBaseURL("http://"+upstream+"/v1"),
		option.WithAPIKey("sk-perf"),
		option.WithUnsafeAllowHTTP(),
		option.WithHTTPClient(&http.Client{Transport: pool()}),
	)
}

// newPassage hands bytes to openai-go and back, and looks at none: what a bridge made with it costs at least.
func newPassage(upstream string) http.Handler {
	service := newService(upstream)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		var res *http.Response
		if _, err := service.New(r.Context(), responses.ResponseNewParams{}, option.WithRequestBody("application/json", body), option.WithResponseBodyInto(&res)); err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		defer res.Body.Close()
		w.Header().Set("Content-Type", res.Header.Get("Content-Type"))
		for part := make([]byte, 4<<10); ; {
			n, err := res.Body.Read(part)
			_, _ = w.Write(part[:n])
			if err != nil {
				return
			}
			w.(http.Flusher).Flush()
		}
	})
}

// newSDKBridge returns a bridge of openai-go and encoding/json. It streams, and checks nothing.
func newSDKBridge(upstream string) http.Handler {
	service := newService(upstream)
	ask := func(req generateRequest) responses.ResponseNewParams {
		input := req.Prompt
		for _, file := range req.Context.Files {
			input += "\n\n" + file.Path + ":\n" + file.Content
		}
		return responses.ResponseNewParams{
			Model:        "gpt-6.1-sol",
			Instructions: param.NewOpt("Write code in " + req.Context.Language + `. Answer with JSON: {"code": ..., "language": ..., "explanation": ...}`),
			Input:        responses.ResponseNewParamsInputUnion{OfString: param.NewOpt(input)},
		}
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var req generateRequest
		if err := json.NewDecoder(r.Body).Decode(&req); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		if r.Header.Get("Accept") == "text/event-stream" {
			w.Header().Set("Content-Type", "text/event-stream")
			stream := service.NewStreaming(r.Context(), ask(req))
			for stream.Next() {
				if event := stream.Current(); event.Type == "response.output_text.delta" {
					data, _ := json.Marshal(map[string]string{"text": event.Delta})
					fmt.Fprintf(w, "data: %s\n\n", data)
					w.(http.Flusher).Flush()
				}
			}
			fmt.Fprint(w, "data: [DONE]\n\n")
			return
		}
		res, err := service.New(r.Context(), ask(req))
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		answer := map[string]any{}
		if err := json.Unmarshal([]byte(res.OutputText()), &answer); err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		answer["model"], answer["usage"] = res.Model, map[string]int64{"input_tokens": res.Usage.InputTokens, "output_tokens": res.Usage.OutputTokens}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(answer)
	})
}
