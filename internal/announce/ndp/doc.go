// Package ndp reads and writes the two messages of IPv6 neighbor discovery
// that resolve addresses (RFC 4861): solicitations and advertisements. It also has
// the kernel filter that lets nothing else through.
//
// Router discovery and redirects are not here: Fairlead is no router. Who is
// answered, and when, is decided in claims; sockets are in announce.
package ndp
