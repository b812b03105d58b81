package client

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"golang.org/x/sys/unix"

	"chatbench/core/wire"
)

// ErrTLS is that a server could not be spoken to by TLS, or made sure of. The text
// says why and what to do, in flags of chat.
var ErrTLS = errors.New("client: no TLS")

// secure shakes hands on a connection, which it closes if that fails.
func secure(ctx context.Context, conn net.Conn, cfg Config) (net.Conn, error) {
	own := cfg.TLS.Clone()
	own.NextProtos = []string{wire.Protocol}
	if own.ServerName == "" {
		own.ServerName, _, _ = net.SplitHostPort(cfg.Server) // check has split it before
	}
	c := tls.Client(conn, own)
	err := c.HandshakeContext(ctx)
	if err == nil {
		return c, nil
	}
	conn.Close()
	if ctx.Err() != nil {
		return nil, fmt.Errorf("client: no TLS handshake with %s: %w", cfg.Server, ctx.Err())
	}
	return nil, fmt.Errorf("%w with %s: %w", ErrTLS, cfg.Server, handshakeError(err, own.ServerName))
}

// handshakeError says what to do about a handshake that has failed.
func handshakeError(err error, name string) error {
	var (
		unknown x509.UnknownAuthorityError
		other   x509.HostnameError
		invalid x509.CertificateInvalidError
		plain   tls.RecordHeaderError
		network *net.OpError
	)
	switch {
	case errors.As(err, &unknown), errors.As(err, new(x509.SystemRootsError)):
		return fmt.Errorf("nobody this machine trusts has signed its certificate: if that is meant to be so, give the certificate, or that of its authority, with -ca FILE (%w)", err)
	case errors.As(err, &other):
		return fmt.Errorf("its certificate is not for %q: connect by the name it is for, or give that with -tls-server-name (%w)", name, err)
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return validity(invalid.Cert, time.Now())
	case errors.As(err, &plain):
		return errors.New("the server there does not speak TLS: leave -tls out")
	case errors.Is(err, io.EOF), errors.Is(err, unix.ECONNRESET):
		return errors.New("it hung up in the middle of the handshake: perhaps the server there does not speak TLS")
	case errors.As(err, &network) && network.Op == "remote error":
		return fmt.Errorf("it refuses: %w: perhaps this is no chat server, or it is set to another version of TLS", network.Err)
	}
	return err
}

// validity says how a certificate is out of date.
func validity(cert *x509.Certificate, now time.Time) error {
	if now.Before(cert.NotBefore) {
		return fmt.Errorf("its certificate is not valid before %s: look whether this machine's clock is right", cert.NotBefore.UTC().Format(time.RFC3339))
	}
	return fmt.Errorf("its certificate expired on %s: whoever runs the server has to renew it", cert.NotAfter.UTC().Format(time.DateOnly))
}

// speaksTLS says whether the first octets of a server are a TLS alert, which is how
// many servers answer one who does not speak it. No frame begins so.
func speaksTLS(first []byte) bool {
	const alert = 0x15
	return len(first) > 1 && first[0] == alert && first[1] == 3
}
