package main

import (
	"errors"
	"os"
	"time"

	"github.com/spf13/cobra"

	"fairlead.dev/fairlead/internal/announce"
	"fairlead.dev/fairlead/internal/controller"
	"fairlead.dev/fairlead/internal/liveness"
	"fairlead.dev/fairlead/internal/speaker"
)

func controllerCommand(cluster *clusterFlags) *cobra.Command {
	var log logFlags
	var o controller.Options
	c := &cobra.Command{
		Use:   "controller",
		Short: "Give Services their addresses (runs in the cluster, twice)",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			var err error
			if o.Log, err = log.logger(); err != nil {
				return err
			}
			cfg, err := cluster.config()
			if err != nil {
				return err
			}
			o.Namespace = cluster.namespace
			return controller.Run(c.Context(), cfg, o)
		},
	}
	log.add(c)
	c.Flags().BoolVar(&o.LeaderElection, "leader-elect", true, "agree with other replicas on who works")
	c.Flags().StringVar(&o.ClusterName, "cluster-name", "kubernetes", "name of this cluster in the names and descriptions of cloud objects, as OCCM's flag of that name")
	c.Flags().BoolVar(&o.DeadNodeEndpoints, "dead-node-endpoints", false, "take the endpoints of a node out of service at once that the speakers agree is dead; needs deploy/dead-node-endpoints.yaml")
	c.Flags().DurationVar(&o.HeartbeatKeyAge, "heartbeat-key-age", 30*24*time.Hour, "replace the key that the speakers authenticate heartbeats with when it is that old; 0 never does")
	c.Flags().StringVar(&o.Address, "address", ":7472", "serve /metrics, /healthz and /readyz here; 0 is nowhere")
	return c
}

func speakerCommand(cluster *clusterFlags) *cobra.Command {
	var log logFlags
	var o speaker.Options
	c := &cobra.Command{
		Use:   "speaker",
		Short: "Announce the addresses that this node owns (runs on every node)",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if o.Node == "" {
				return errors.New("which node is this? Give --node-name, as in kubectl get nodes, or set FAIRLEAD_NODE_NAME")
			}
			var err error
			if o.Log, err = log.logger(); err != nil {
				return err
			}
			cfg, err := cluster.config()
			if err != nil {
				return err
			}
			o.Pods = cluster.speakers()
			o.Namespace = cluster.namespace
			return speaker.Run(c.Context(), cfg, o)
		},
	}
	log.add(c)
	c.Flags().StringVar(&o.Node, "node-name", os.Getenv("FAIRLEAD_NODE_NAME"), "name of this machine's Node object (default $FAIRLEAD_NODE_NAME)")
	c.Flags().StringSliceVar(&o.Exclude, "exclude-interfaces", announce.DefaultExclude(), "interfaces never to announce on, as shell patterns")
	c.Flags().Uint16Var(&o.HeartbeatPort, "heartbeat-port", liveness.DefaultPort, "UDP port of the heartbeats between speakers, the same on all nodes; 0 exchanges none, and a dead node is found by Kubernetes alone")
	c.Flags().DurationVar(&o.MendEvery, "mend-every", 10*time.Second, "when all is quiet for that long, move one address from a node that has more than its share; 0 never does")
	c.Flags().StringVar(&o.Address, "address", ":7473", "serve /metrics, /healthz and /readyz here; 0 is nowhere")
	return c
}
