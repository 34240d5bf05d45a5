package etcdstore

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// attempts is how often an operation is tried within the timeout if its member does not answer at all. Connections take
// turns, so the next attempt goes to another member.
const attempts = 4

// try calls do until it succeeds, fails for good or the timeout ends. All that is tried may be repeated: nothing is swapped
// twice. again says that an attempt may have been carried out before.
func (s *Store) try(ctx context.Context, what string, do func(ctx context.Context, again bool) error) error {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	var last error
	for again := false; ; again = true {
		attempt, stop := context.WithTimeout(ctx, s.timeout/attempts)
		err := do(attempt, again)
		unanswered := attempt.Err() != nil
		stop()
		switch {
		case err == nil:
			return nil
		case !unanswered && !passing(err):
			return s.explain(what, err)
		case last == nil || !unanswered: // the first words, or better ones
			last = err
		}
		select {
		case <-time.After(20*time.Millisecond + rand.N(30*time.Millisecond)):
		case <-ctx.Done():
			return s.explain(what, last)
		}
	}
}

// passing reports whether the fault may be over soon, as that of a member that stopped or of a leader that is lost.
func passing(err error) bool {
	return codeOf(err) == codes.Unavailable || errors.Is(err, rpctypes.ErrLeaseNotFound)
}

func codeOf(err error) codes.Code {
	if known, ok := errors.AsType[rpctypes.EtcdError](err); ok {
		return known.Code()
	}
	return status.Code(err)
}

// diagnose says what is wrong with the way to the members, which etcd's client keeps to itself; nil if nothing is.
func (s *Store) diagnose(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	var faults []error
	for _, endpoint := range s.client.Endpoints() {
		scheme, address, _ := strings.Cut(endpoint, "://")
		dial := new(net.Dialer).DialContext
		if scheme == "https" {
			dial = (&tls.Dialer{Config: s.tls}).DialContext
		}
		conn, err := dial(ctx, "tcp", address)
		if err != nil {
			faults = append(faults, fmt.Errorf("%s: %w", endpoint, err))
			continue
		}
		conn.Close()
	}
	return errors.Join(faults...)
}

// explain says what failed, and what to do about it.
func (s *Store) explain(what string, err error) error {
	switch code := codeOf(err); {
	case errors.Is(err, rpctypes.ErrNoSpace):
		return fmt.Errorf("etcdstore: %s: the space of etcd at %s is used up: compact and defragment it, then run 'etcdctl alarm disarm': %w", what, s.names, err)
	case code == codes.Unauthenticated || code == codes.PermissionDenied, errors.Is(err, rpctypes.ErrAuthFailed), errors.Is(err, rpctypes.ErrUserEmpty):
		return fmt.Errorf("etcdstore: %s: etcd at %s refuses the user: is the password right, and may the user read and write keys with the prefix %q?: %w", what, s.names, s.prefix, err)
	case code == codes.Unavailable || code == codes.DeadlineExceeded || errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("etcdstore: %s: etcd at %s does not answer within %s: does it run, has it a leader ('etcdctl endpoint status'), and does it speak http or https?: %w", what, s.names, s.timeout, err)
	}
	return fmt.Errorf("etcdstore: %s in etcd at %s: %w", what, s.names, err)
}
