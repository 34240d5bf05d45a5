package main

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/smarthaus/caio-bridge-go/caio/registry"
	"github.com/smarthaus/caio-bridge-go/caio/registry/boltstore"
	"github.com/smarthaus/caio-bridge-go/caio/registry/etcdstore"
)

// A storage is where a registry keeps what it holds.
type storage struct {
	file                          string
	etcd                          etcdstore.Options
	authorities, certificate, key string // files
}

func (s *storage) addFlags(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&s.file, "data", "", "file that keeps services and traces; made if there is none (default: in memory)")
	flags.StringSliceVar(&s.etcd.Endpoints, "etcd", nil, "members of an etcd cluster that keeps services and traces, as host:port or https://host:port, with commas\nbetween; user and password, if it asks for them, are in $ETCD_USER as NAME:PASSWORD")
	flags.StringVar(&s.etcd.Prefix, "etcd-prefix", "/caio/", "what the keys in etcd begin with")
	flags.StringVar(&s.authorities, "etcd-cacert", "", "file with the certificate authorities of etcd (default: those of this machine)")
	flags.StringVar(&s.certificate, "etcd-cert", "", "file with the certificate to show to etcd")
	flags.StringVar(&s.key, "etcd-key", "", "file with the key of that certificate")
}

// where says it in the line that tells of the registry.
func (s *storage) where() string {
	if s.file != "" {
		return "in a file"
	}
	return "in etcd"
}

// A closingStore is a store that must be closed.
type closingStore interface {
	registry.Store
	io.Closer
}

// openStore returns the store, nil for none.
func (a *app) openStore(s *storage) (closingStore, error) {
	switch {
	case s.file != "" && len(s.etcd.Endpoints) > 0:
		return nil, usageError{errors.New("--data and --etcd exclude each other: a registry keeps what it holds in one place")}
	case s.file != "":
		store, err := boltstore.Open(s.file)
		if err != nil {
			return nil, err
		}
		return store, nil
	case len(s.etcd.Endpoints) == 0 && s.authorities+s.certificate+s.key != "":
		return nil, usageError{errors.New("--etcd-cacert, --etcd-cert and --etcd-key go with --etcd")}
	case len(s.etcd.Endpoints) == 0:
		return nil, nil
	}
	if user := a.getenv("ETCD_USER"); user != "" {
		var ok bool
		if s.etcd.Username, s.etcd.Password, ok = strings.Cut(user, ":"); !ok {
			return nil, usageError{errors.New("ETCD_USER is not NAME:PASSWORD")}
		}
	}
	var err error
	if s.etcd.TLS, err = s.readTLS(); err != nil {
		return nil, err
	}
	store, err := etcdstore.Open(s.etcd)
	if err != nil {
		return nil, storeError{err}
	}
	return store, nil
}

// readTLS returns nil if no file is named.
func (s *storage) readTLS() (*tls.Config, error) {
	if s.authorities+s.certificate+s.key == "" {
		return nil, nil
	}
	config := new(tls.Config)
	if s.authorities != "" {
		data, err := os.ReadFile(s.authorities)
		if err != nil {
			return nil, err
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(data) {
			return nil, fmt.Errorf("%s holds no certificate in PEM", s.authorities)
		}
	}
	if (s.certificate == "") != (s.key == "") {
		return nil, usageError{errors.New("--etcd-cert and --etcd-key go together")}
	}
	if s.certificate != "" {
		pair, err := tls.LoadX509KeyPair(s.certificate, s.key)
		if err != nil {
			return nil, fmt.Errorf("%s and %s: %w", s.certificate, s.key, err)
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return config, nil
}
