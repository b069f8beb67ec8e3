package inside

import (
	"flag"
	"fmt"
	"net/http"
	"os"
	"time"
)

// Echo is the application of a lab's pods: an HTTP server that answers with
// its host name, which is the pod's name, and the client's address as it sees it.
func Echo(args []string) error {
	flags := flag.NewFlagSet("echo", flag.ExitOnError)
	port := flags.Int("port", 8080, "TCP port")
	if err := flags.Parse(args); err != nil {
		return err
	}
	name, err := os.Hostname()
	if err != nil {
		return err
	}
	server := &http.Server{
		Addr:              fmt.Sprintf(":%d", *port),
		ReadHeaderTimeout: 10 * time.Second,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprintf(w, "%s %s\n", name, r.RemoteAddr)
		}),
	}
	return server.ListenAndServe()
}
