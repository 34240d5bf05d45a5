// Package etcdstore keeps the registrations of several registries in etcd, so that all of them serve the same services.
package etcdstore

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"github.com/smarthaus/caio-bridge-go/caio/registry"
)

// Bounds of what goes to etcd and comes from it. By default etcd takes requests of up to 1.5 MiB with 128 changes.
const (
	maxData    = 1_250_000 // bytes of a record
	maxID      = 1_000     // bytes of an id
	maxRecords = 128       // that are saved at once
	pageSize   = 100       // keys of an answer

	keepAliveTime    = 10 * time.Second // etcd takes pings more often than every 5 s for an attack
	keepAliveTimeout = 5 * time.Second
)

// Options configure a [Store].
type Options struct {
	// Endpoints are the members of the etcd cluster, as host:port, http://host:port or https://host:port. At least one;
	// with all of them the store survives the loss of any that the cluster survives.
	Endpoints []string

	// Prefix begins all keys. Registries with the same endpoints and prefix serve the same services. Default: "/caio/".
	Prefix string

	// TLS is how the members are reached, and what this client shows them. Default: plain text, or the machine's
	// certificate authorities if the endpoints say https.
	TLS *tls.Config

	// Username and Password are those of etcd's authentication; the user needs to read and write the keys with the
	// Prefix. Default: none, as with a client certificate in TLS.
	Username, Password string

	// Timeout bounds each operation, attempts at several members included. Default: 5 s; from 100 ms to 1 min.
	Timeout time.Duration
}

// A Store is a [registry.SharedStore] in etcd. What was saved is held by a majority of the members. It is safe for
// concurrent use.
type Store struct {
	client  *clientv3.Client
	tls     *tls.Config
	prefix  string
	timeout time.Duration
	names   string // the endpoints and, if there is one, the user, for messages
}

var _ registry.SharedStore = (*Store)(nil)

// Open returns a store, which must be closed. It reports all faults of opts together, and does not wait for etcd, unless
// there is a Username.
func Open(opts Options) (*Store, error) {
	opts.Prefix = cmp.Or(opts.Prefix, "/caio/")
	opts.Timeout = cmp.Or(opts.Timeout, 5*time.Second)
	var faults []error
	if opts.Timeout < 100*time.Millisecond || opts.Timeout > time.Minute {
		faults = append(faults, fmt.Errorf("the timeout is %s, not within 100ms and 1m", opts.Timeout))
	}
	if len(opts.Prefix) > maxID {
		faults = append(faults, fmt.Errorf("the prefix has %d bytes, more than %d", len(opts.Prefix), maxID))
	}
	if (opts.Username == "") != (opts.Password == "") {
		faults = append(faults, errors.New("a user needs a password, and a password a user"))
	}
	endpoints, err := endpointsOf(&opts)
	if err := errors.Join(append(faults, err)...); err != nil {
		return nil, fmt.Errorf("etcdstore: %w", err)
	}
	s := &Store{tls: opts.TLS, prefix: opts.Prefix, timeout: opts.Timeout, names: strings.Join(endpoints, ", ")}
	if opts.Username != "" {
		s.names = fmt.Sprintf("%s (as user %q)", s.names, opts.Username)
	}
	s.client, err = clientv3.New(clientv3.Config{
		Endpoints: endpoints, TLS: opts.TLS, Username: opts.Username, Password: opts.Password,
		DialTimeout: opts.Timeout, DialKeepAliveTime: keepAliveTime, DialKeepAliveTimeout: keepAliveTimeout,
		MaxCallSendMsgSize: maxRecords<<10 + 2*maxData, MaxCallRecvMsgSize: pageSize * (maxData + maxID + 1024),
		Logger: zap.NewNop(),
	})
	if err != nil {
		return nil, s.explain("opening", err)
	}
	return s, nil
}

// Close ends what is being done.
func (s *Store) Close() error {
	if err := s.client.Close(); err != nil && !errors.Is(err, context.Canceled) {
		return fmt.Errorf("etcdstore: closing: %w", err)
	}
	return nil
}

// endpointsOf returns the endpoints with their scheme, and adds to opts the TLS that they ask for.
func endpointsOf(opts *Options) ([]string, error) {
	if len(opts.Endpoints) == 0 {
		return nil, errors.New("there is no endpoint: name at least one member of etcd, for example 127.0.0.1:2379")
	}
	var faults []error
	scheme := ""
	endpoints := make([]string, len(opts.Endpoints))
	for i, text := range opts.Endpoints {
		endpoint := text
		if !strings.Contains(endpoint, "://") {
			endpoint = map[bool]string{false: "http://", true: "https://"}[opts.TLS != nil] + endpoint
		}
		at, err := url.Parse(endpoint)
		if err != nil || at.Scheme != "http" && at.Scheme != "https" || at.Hostname() == "" || at.Port() == "" || *at != (url.URL{Scheme: at.Scheme, Host: at.Host}) {
			faults = append(faults, fmt.Errorf("endpoint %d is not host:port, http://host:port or https://host:port", i+1)) // it may hold a password
			continue
		}
		if scheme != "" && at.Scheme != scheme {
			faults = append(faults, errors.New("some endpoints are http and some https: etcd has one or the other"))
		}
		scheme = at.Scheme
		endpoints[i] = at.Scheme + "://" + net.JoinHostPort(at.Hostname(), at.Port())
	}
	switch {
	case scheme == "https" && opts.TLS == nil:
		opts.TLS = new(tls.Config)
	case scheme == "http" && opts.TLS != nil:
		faults = append(faults, errors.New("there is a TLS configuration, but the endpoints are http: write https"))
	}
	return endpoints, errors.Join(faults...)
}
