package client

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"

	"chatbench/core/wire"
	"chatbench/internal/tlsflags"
)

// ErrTLS means that the TLS handshake failed, or that the server's certificate was
// refused. The error's text says what to do, in terms of chat's flags.
var ErrTLS = errors.New("client: no TLS")

// secure does a TLS handshake on a connection. If it fails it closes the connection.
func secure(ctx context.Context, conn net.Conn, cfg Config) (net.Conn, error) {
	own := cfg.TLS.Clone()
	own.NextProtos = []string{wire.Protocol}
	if own.ServerName == "" {
		own.ServerName, _, _ = net.SplitHostPort(cfg.Server) // cannot fail: Check has called it
	}
	c := tls.Client(conn, own)
	err := c.HandshakeContext(ctx)
	if err == nil {
		return c, nil
	}
	conn.Close()
	if ctx.Err() != nil {
		return nil, fmt.Errorf("client: no answer to the TLS handshake from %s: %w", cfg.Server, ctx.Err())
	}
	return nil, fmt.Errorf("%w with %s: %w", ErrTLS, cfg.Server, tlsflags.Explain(err, own.ServerName))
}

// speaksTLS says whether a server's first octets are a TLS alert, with which many
// servers answer a client that does not use TLS. No frame begins like that.
func speaksTLS(first []byte) bool {
	const alert = 0x15
	return len(first) > 1 && first[0] == alert && first[1] == 3
}
