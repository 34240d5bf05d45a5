// Package page renders the registry's page for people: HTML that shows the services without JavaScript, and a script that
// keeps them up to date and shows decisions.
//
// Everything in a view may come from a contract, so it is hostile: the template escapes it, the script sets it as text only,
// which the Content-Security-Policy makes the browser enforce (Trusted Types without a policy).
package page

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"html/template"
	"net/http"
	"strconv"
	"strings"
)

var (
	//go:embed page.html
	markup string
	//go:embed page.css
	style string
	//go:embed page.js
	script string
)

// A Page is ready to be rendered. It is safe for concurrent use.
type Page struct {
	template *template.Template
	policy   string
}

// New prepares the page.
func New() *Page {
	return &Page{
		template: template.Must(template.New("page").Parse(markup)), // a constant
		policy: strings.Join([]string{
			"default-src 'none'", "script-src " + hashOf(script), "style-src " + hashOf(style), "img-src data:", "connect-src 'self'",
			"form-action 'self'", "base-uri 'none'", "frame-ancestors 'none'", "require-trusted-types-for 'script'", "trusted-types 'none'",
		}, "; "),
	}
}

// hashOf returns the source expression that allows an inline text, and no other.
func hashOf(text string) string {
	sum := sha256.Sum256([]byte(text))
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}

// Write answers a request with the page.
func (p *Page) Write(w http.ResponseWriter, v View) error {
	var body bytes.Buffer
	err := p.template.Execute(&body, struct {
		View
		Style  template.CSS
		Script template.JS
	}{v, template.CSS(style), template.JS(script)})
	if err != nil {
		return err
	}
	header := w.Header()
	for name, value := range map[string]string{
		"Content-Type":                 "text/html; charset=utf-8",
		"Content-Length":               strconv.Itoa(body.Len()),
		"Content-Security-Policy":      p.policy,
		"X-Content-Type-Options":       "nosniff",
		"Referrer-Policy":              "no-referrer",
		"Cross-Origin-Opener-Policy":   "same-origin",
		"Cross-Origin-Resource-Policy": "same-origin",
		"Cache-Control":                "no-store",
	} {
		header.Set(name, value)
	}
	w.WriteHeader(http.StatusOK)
	w.Write(body.Bytes())
	return nil
}
