// Package response wraps the writer of a response.
package response

import "net/http"

// A Writer records the status of a response. Unwrap gives [http.ResponseController] the connection.
type Writer struct {
	http.ResponseWriter
	Status int // 0 before the header is written
}

// WriteHeader records the status.
func (w *Writer) WriteHeader(status int) {
	if w.Status == 0 {
		w.Status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

// Write implements [io.Writer].
func (w *Writer) Write(p []byte) (int, error) {
	if w.Status == 0 {
		w.Status = http.StatusOK
	}
	return w.ResponseWriter.Write(p)
}

// Flush implements [http.Flusher] for handlers of others.
func (w *Writer) Flush() { _ = w.FlushError() }

// FlushError implements the Flush of [http.ResponseController].
func (w *Writer) FlushError() error {
	if w.Status == 0 {
		w.Status = http.StatusOK
	}
	return http.NewResponseController(w.ResponseWriter).Flush()
}

// Unwrap returns the wrapped writer.
func (w *Writer) Unwrap() http.ResponseWriter { return w.ResponseWriter }
