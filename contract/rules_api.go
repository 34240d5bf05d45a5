package contract

import (
	"net/netip"
	"net/url"
	"strconv"
	"strings"

	"github.com/smarthaus/caio-bridge-go/internal/access"
)

func checkBaseURL(k *checker) {
	n := k.find("api", "base_url")
	if n.Text() == "" {
		return
	}
	fault, fix := baseURLFault(n.Scalar)
	if fault != "" {
		code := "api/base-url"
		if strings.HasPrefix(fault, wrongScheme) {
			code = "api/protocol-scheme"
		}
		k.add(n, code, fix, "base_url %s", fault)
		return
	}
	c := k.contract
	plain := strings.HasPrefix(strings.ToLower(n.Scalar), "http://")
	promised := c.Privacy != nil && isTrue(c.Privacy.Encryption) && c.Privacy.EncryptionType != "none"
	if plain && promised && !isLoopback(c.API.host()) {
		k.add(n, "privacy/plain-base-url", "write https://, or  encryption: false", "encryption is promised, but base_url is not encrypted")
	}
}

const wrongScheme = "must start with http:// or https://, found "

// baseURLFault says what is wrong with a base URL, and what to write.
func baseURLFault(raw string) (fault, fix string) {
	const example = "write for example http://127.0.0.1:8082"
	u, err := url.Parse(raw)
	if host, port, ok := strings.Cut(raw, ":"); ok && isName(host) && isPort(port) {
		return "must be absolute", "write http://" + raw
	}
	switch {
	case err != nil || strings.ContainsAny(raw, " \t\r\n"):
		return "is not a URL", example
	case u.Scheme == "":
		return "must be absolute", example
	case u.Scheme != "http" && u.Scheme != "https":
		return wrongScheme + strconv.Quote(u.Scheme), example
	case u.Host == "" || u.Hostname() == "":
		return "names no host", example
	case u.User != nil:
		return "must not hold a user or password", "remove what stands before the @; callers authenticate by other means"
	case u.RawQuery != "" || u.ForceQuery:
		return "must not have a query", "remove the part from the ? on"
	case u.Fragment != "" || strings.Contains(raw, "#"):
		return "must not have a fragment", "remove the part from the # on"
	case strings.Contains("/"+u.Path+"/", "/../") || strings.Contains(u.Path, "//"):
		return "must not contain .. or //", "write the path out"
	}
	if port := u.Port(); port != "" {
		if p, err := strconv.Atoi(port); err != nil || p < 1 || p > 65535 {
			return "has the port " + port, "write a port from 1 to 65535"
		}
	}
	return "", ""
}

// host is the name or address in the base URL, "" if that is not a URL.
func (a API) host() string {
	u, err := url.Parse(a.BaseURL)
	if err != nil {
		return ""
	}
	return strings.ToLower(u.Hostname())
}

// isLoopback reports whether a host is this machine (RFC 6761 section 6.3).
func isLoopback(host string) bool {
	return access.IsLoopbackName(host) || strings.HasSuffix(host, ".localhost")
}

// isPublic reports whether a host can be reached over the internet only, as far as its name tells.
func isPublic(host string) bool {
	if ip, err := netip.ParseAddr(host); err == nil {
		return !ip.IsLoopback() && !ip.IsPrivate() && !ip.IsLinkLocalUnicast() && !ip.IsUnspecified()
	}
	if !strings.Contains(host, ".") || isLoopback(host) {
		return false // a name inside a cluster or a local network
	}
	for _, suffix := range []string{".local", ".internal", ".lan", ".home", ".test", ".example", ".invalid", ".svc", ".cluster.local", ".home.arpa"} {
		if strings.HasSuffix(host, suffix) {
			return false
		}
	}
	return true
}

func checkEndpoints(k *checker) {
	list := k.contract.API.Endpoints
	key := func(e Endpoint) string {
		if e.Path == "" {
			return ""
		}
		return e.Method + " " + erased(e.Path)
	}
	for later, earlier := range duplicates(list, key) {
		n := k.find("api", "endpoints", strconv.Itoa(later))
		first := k.find("api", "endpoints", strconv.Itoa(earlier))
		k.add(n.Get("path"), "endpoint/duplicate", "remove one of the two", "%s is already endpoint %d (line %d)", list[later], earlier, first.At.Line)
	}
	ids := map[string]int{}
	for i, e := range list {
		n := k.find("api", "endpoints", strconv.Itoa(i))
		if fault, fix := pathFault(e.Path); fault != "" {
			k.add(n.Get("path"), "endpoint/path-form", fix, "the path %q %s", e.Path, fault)
		}
		id := n.Get("id").Text()
		if id == "" {
			continue
		}
		if first, taken := ids[id]; taken {
			k.add(n.Get("id"), "endpoint/id-duplicate", "give it an id of its own", "%q is already the id of endpoint %d", id, first)
			continue
		}
		ids[id] = i
	}
}

// erased is a path without the names of its parameters and the slash at its end: paths that are erased equally answer
// the same requests.
func erased(path string) string {
	var b strings.Builder
	inside := false
	for _, r := range path {
		switch {
		case r == '{':
			inside = true
			b.WriteByte('{')
		case r == '}':
			inside = false
			b.WriteByte('}')
		case !inside:
			b.WriteRune(r)
		}
	}
	if trimmed := strings.TrimRight(b.String(), "/"); trimmed != "" {
		return trimmed
	}
	return "/"
}

// pathFault says what is wrong with the path of an endpoint, and what to write.
func pathFault(path string) (fault, fix string) {
	if !strings.HasPrefix(path, "/") {
		return "", "" // the schema's to report
	}
	switch {
	case strings.Contains(path, "//"):
		return "holds an empty segment", "write one slash"
	case strings.Contains(path+"/", "/../"), strings.Contains(path+"/", "/./"):
		return "holds . or ..", "write the path out"
	case strings.ContainsAny(path, "?#"):
		return "holds a query or fragment", "name the path alone"
	case strings.ContainsAny(path, " \t\r\n\\%\"<>^`|"):
		return "holds a character that paths here cannot have", "use letters, digits, - and _"
	}
	names := map[string]bool{}
	for segment := range strings.SplitSeq(path[1:], "/") {
		if !strings.ContainsAny(segment, "{}") {
			continue
		}
		name, closed := strings.CutSuffix(strings.TrimPrefix(segment, "{"), "}")
		switch {
		case !strings.HasPrefix(segment, "{"), !closed, !isName(name):
			return "holds a parameter that is not a whole segment", "write a parameter as /{name}/"
		case names[name]:
			return "holds the parameter " + name + " twice", "give it another name"
		}
		names[name] = true
	}
	return "", ""
}

func isPort(s string) bool {
	_, err := strconv.ParseUint(s, 10, 16)
	return err == nil
}

func isName(s string) bool {
	for i, r := range s {
		letter := r == '_' || 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z'
		if !letter && (i == 0 || r < '0' || r > '9') {
			return false
		}
	}
	return s != ""
}
