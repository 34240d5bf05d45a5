package access

import (
	"net/http"
	"net/url"
	"strings"
)

// IsSerializedOrigin reports if a browser sends the origin in this form: in ASCII and lower case,
// without the default port.
func IsSerializedOrigin(origin string) bool {
	u, err := url.Parse(origin)
	if err != nil || u.Host == "" || origin != strings.ToLower(u.Scheme+"://"+u.Host) || strings.Contains(origin, "*") {
		return false
	}
	if strings.ContainsFunc(u.Host, func(r rune) bool { return r > '~' }) || strings.HasSuffix(u.Host, ":") {
		return false
	}
	port := u.Port()
	return port == "" || port != map[string]string{"http": "80", "https": "443"}[u.Scheme]
}

// IsPreflight reports if a request with an Origin is a CORS preflight, which is answered by headers
// alone (https://fetch.spec.whatwg.org/#http-cors-protocol).
func IsPreflight(r *http.Request) bool {
	return r.Method == http.MethodOptions && r.Header.Get("Access-Control-Request-Method") != ""
}

// IsCrossSiteFetch reports if a page of another site makes the request without an Origin, such as
// GET for an image (https://www.w3.org/TR/fetch-metadata/).
func IsCrossSiteFetch(r *http.Request) bool {
	site := r.Header.Get("Sec-Fetch-Site")
	return r.Header.Get("Origin") == "" && (site == "cross-site" || site == "same-site")
}

// MayHideOrigin reports if a request without Origin may come from a web page: browsers send none
// with GET and HEAD to the page's own host.
func MayHideOrigin(r *http.Request) bool {
	fetched := r.Method == http.MethodGet || r.Method == http.MethodHead || r.Header.Get("Sec-Fetch-Site") != ""
	return fetched && r.Header.Get("Origin") == ""
}
