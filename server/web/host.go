package web

import (
	"net"
	"net/http"
	"net/netip"
	"path"
	"slices"
	"strings"
)

// LoopbackHost says whether a request's Host, with or without a port, is one that
// means the browser's own machine: localhost, or a loopback address. Any other name
// may be one that somebody else's page was loaded by, and that means this machine now.
func LoopbackHost(host string) bool {
	name := hostname(host)
	addr, err := netip.ParseAddr(name)
	return strings.EqualFold(name, "localhost") || err == nil && addr.Unmap().IsLoopback()
}

// hostname is a Host without its port.
func hostname(host string) string {
	if name, _, err := net.SplitHostPort(host); err == nil {
		return name
	}
	return strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
}

// meant says whether a request asks for this server by a name that it may have. On a
// loopback address without TLS these are those of LoopbackHost and Config.Origins, and
// any that a trusted proxy passes on. Elsewhere it is every name: a server on a network
// cannot know its own, and by TLS the browser has looked at the certificate.
func (s *Server) meant(r *http.Request) bool {
	if !s.local || LoopbackHost(r.Host) {
		return true
	}
	if from, err := netip.ParseAddrPort(r.RemoteAddr); err == nil && s.trusts(from.Addr().Unmap()) {
		return true
	}
	whole, name := strings.ToLower(r.Host), strings.ToLower(hostname(r.Host))
	return slices.ContainsFunc(s.cfg.Origins, func(pattern string) bool {
		pattern = strings.ToLower(pattern)
		byPort, _ := path.Match(pattern, whole)
		byName, _ := path.Match(pattern, name)
		return byPort || byName
	})
}
