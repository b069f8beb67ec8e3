package openstack

import (
	"context"
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sync/errgroup"
)

func (r *run) startMariaDB(ctx context.Context) error {
	d, err := r.start("mariadb", nil, "mariadbd", "--no-defaults", "--user=root", "--datadir="+r.path("mysql"),
		"--socket="+r.path("sock", "mysql.sock"), "--pid-file="+r.path("mysql.pid"), "--tmpdir="+r.options.Dir,
		"--skip-networking", "--skip-log-bin", "--skip-name-resolve", "--character-set-server=utf8mb4",
		// Nothing here has to survive a power cut.
		"--innodb-flush-log-at-trx-commit=0", "--innodb-doublewrite=0",
		"--innodb-buffer-pool-size=192M", "--innodb-log-file-size=16M", "--innodb-use-native-aio=0",
		"--performance-schema=off", "--max-connections=400")
	if err != nil {
		return err
	}
	r.mariadb = d
	return r.await(ctx, d, func(ctx context.Context) bool { return r.sql(ctx, "", "select 1") == nil })
}

// sql runs statements in a database.
func (r *run) sql(ctx context.Context, database, statements string) error {
	_, err := r.command(ctx, "mariadb", "--no-defaults", "--socket="+r.path("sock", "mysql.sock"), "--user=root",
		"--batch", "--execute="+statements, database)
	return err
}

func (r *run) startRabbitMQ(ctx context.Context) error {
	// Else RabbitMQ starts a daemon of its own, on all addresses.
	d, err := r.start("epmd", []string{"ERL_EPMD_ADDRESS=127.0.0.1"}, "epmd")
	if err != nil {
		return err
	}
	if err := r.await(ctx, d, func(context.Context) bool { return listens(4369) }); err != nil {
		return err
	}
	d, err = r.start("rabbitmq", []string{
		"HOME=" + r.path("rabbitmq"),
		"ERL_EPMD_ADDRESS=127.0.0.1",
		"RABBITMQ_CONF_ENV_FILE=/dev/null",
		"RABBITMQ_CONFIG_FILE=" + r.path("conf", "rabbitmq"),
		"RABBITMQ_NODENAME=lab@localhost",
		"RABBITMQ_NODE_IP_ADDRESS=127.0.0.1",
		"RABBITMQ_NODE_PORT=5672",
		"RABBITMQ_DIST_PORT=25672",
		"RABBITMQ_MNESIA_BASE=" + r.path("rabbitmq", "mnesia"),
		"RABBITMQ_LOG_BASE=" + r.path("rabbitmq", "log"),
		"RABBITMQ_LOGS=-",
		"RABBITMQ_ENABLED_PLUGINS_FILE=" + r.path("rabbitmq", "plugins"),
		// One scheduler that sleeps instead of spinning, and no port on other addresses.
		"RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS=+S 1:1 +sbwt none +sbwtdcpu none +sbwtdio none -kernel inet_dist_use_interface {127,0,0,1}",
	}, "/usr/lib/rabbitmq/bin/rabbitmq-server") // the one in /usr/sbin becomes another user
	if err != nil {
		return err
	}
	return r.await(ctx, d, func(context.Context) bool { return listens(5672) })
}

// startOVN starts the databases of OVN and the translator between them. On
// the first start it also makes the chassis that ports can be bound to.
func (r *run) startOVN(ctx context.Context) error {
	if r.options.NoOVN {
		return nil
	}
	env := []string{"OVN_RUNDIR=" + r.path("ovn"), "OVS_RUNDIR=" + r.path("ovn")}
	fresh := false
	for _, db := range []string{"nb", "sb"} {
		file, socket := r.path("ovn", db+".db"), r.path("sock", "ovn"+db+".sock")
		if _, err := os.Stat(file); err != nil {
			fresh = true
			if _, err := r.command(ctx, "ovsdb-tool", "create", file, "/usr/share/ovn/ovn-"+db+".ovsschema"); err != nil {
				return err
			}
		}
		d, err := r.start("ovn-"+db, env, "ovsdb-server", "--remote=punix:"+socket,
			"--unixctl="+r.path("ovn", db+".ctl"), "--log-file=/dev/null", file)
		if err != nil {
			return err
		}
		if err := r.await(ctx, d, exists(socket)); err != nil {
			return err
		}
	}
	nb, sb := "unix:"+r.path("sock", "ovnnb.sock"), "unix:"+r.path("sock", "ovnsb.sock")
	if fresh {
		if err := r.makeChassis(ctx, nb, sb); err != nil {
			return err
		}
	}
	_, err := r.start("ovn-northd", env, "ovn-northd", "--ovnnb-db="+nb, "--ovnsb-db="+sb,
		"--unixctl="+r.path("ovn", "northd.ctl"), "--log-file=/dev/null")
	return err
}

// makeChassis writes what an ovn-controller would. Neutron takes its list of
// agents from Chassis_Private, and holds one alive whose nb_cfg is not behind
// that of the northbound database.
func (r *run) makeChassis(ctx context.Context, nb, sb string) error {
	if _, err := r.command(ctx, "ovn-nbctl", "--db="+nb, "--no-leader-only", "init"); err != nil {
		return err
	}
	_, err := r.command(ctx, "ovn-sbctl", "--db="+sb, "--no-leader-only", "init",
		"--", "--id=@encap", "create", "Encap", "type=geneve", "ip=127.0.0.1", "chassis_name="+chassis,
		"--", "--id=@chassis", "create", "Chassis", "name="+chassis, "hostname="+chassis, "encaps=@encap",
		"other_config:ovn-bridge-mappings=physnet1:br-ex", "other_config:ovn-cms-options=enable-chassis-as-gw",
		"other_config:datapath-type=system",
		"--", "create", "Chassis_Private", "name="+chassis, "chassis=@chassis", "nb_cfg=1000000000")
	return err
}

// pretendAgents is makeChassis without OVN: ML2/openvswitch binds a port if
// the agent of its host is alive, and an agent is alive while its heartbeat is
// not old. This one never gets old.
func (r *run) pretendAgents(ctx context.Context) error {
	if !r.options.NoOVN {
		return nil
	}
	const agent = `insert into agents (id, agent_type, ` + "`binary`" + `, topic, host, admin_state_up, created_at,
		started_at, heartbeat_timestamp, configurations, ` + "`load`" + `)
		values (uuid(), 'Open vSwitch agent', 'neutron-openvswitch-agent', 'N/A', '` + chassis + `', 1, now(), now(), '2099-01-01',
		'{"bridge_mappings": {"physnet1": "br-ex"}, "tunnel_types": ["vxlan"], "tunneling_ip": "127.0.0.1",
		"datapath_type": "system", "vhostuser_socket_dir": "/run", "ovs_capabilities": {"datapath_types": ["system"], "iface_types": []}}', 0)`
	return r.sql(ctx, "neutron", agent)
}

func (r *run) startKeystone(ctx context.Context) error {
	d, err := r.start("keystone", []string{"OS_KEYSTONE_CONFIG_FILES=" + r.path("conf", "keystone.conf")},
		uwsgi(keystonePort, "keystone.server.wsgi:initialize_public_application()")...)
	if err != nil {
		return err
	}
	return r.await(ctx, d, answers(authURL))
}

func (r *run) startNeutron(ctx context.Context) error {
	d, err := r.start("neutron-server", nil, r.entryPoint("neutron-server", "neutron.conf")...)
	if err != nil {
		return err
	}
	return r.await(ctx, d, answers(neutronURL))
}

// startOctavia leaves out octavia-health-manager, which hears from amphorae,
// and octavia-housekeeping, which forgets what was deleted a week ago.
func (r *run) startOctavia(ctx context.Context) error {
	env := []string{"FAIRLEAD_OCTAVIA_SOCKETS=" + r.path("sock")} // see sitecustomize.py
	agent, err := r.start("octavia-driver-agent", env, r.entryPoint("octavia-driver-agent", "octavia.conf")...)
	if err != nil {
		return err
	}
	api, err := r.start("octavia-api", env, append(uwsgi(octaviaPort, "octavia.api.app:setup_app()"),
		"--pyargv", "--config-file "+r.path("conf", "octavia.conf"))...)
	if err != nil {
		return err
	}
	worker, err := r.start("octavia-worker", env, r.entryPoint("octavia-worker", "octavia.conf")...)
	if err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return r.await(ctx, agent, exists(r.cloud.StatusSocket())) })
	g.Go(func() error { return r.await(ctx, api, answers(octaviaURL)) })
	// What is asked for before the worker listens stays PENDING for ever.
	g.Go(func() error {
		if err := r.await(ctx, worker, r.logged("octavia-worker", "Starting V2 consumer")); err != nil {
			return err
		}
		_, err := r.command(ctx, "/usr/bin/python3", r.path("python", "await_queue.py"), "octavia_provisioning_v2", "60")
		return err
	})
	return g.Wait()
}

func (r *run) entryPoint(name, conf string) []string {
	return []string{"/usr/bin/python3", r.path("python", "run.py"), name, "--config-file", r.path("conf", conf)}
}

// uwsgi hosts a WSGI application.
func uwsgi(port int, module string) []string {
	return []string{
		"uwsgi", "--plugin", "python3", "--need-app", "--master", "--lazy-apps", "--die-on-term",
		"--http-socket", "127.0.0.1:" + strconv.Itoa(port), "--processes", "1", "--threads", "12", "--enable-threads",
		// It ends connections without saying so, and clients that reuse one would fail.
		"--add-header", "Connection: close", "--post-buffering", "65536",
		"--buffer-size", "65535", "--disable-logging", "--module", module,
	}
}

// bootstrap makes the first account of Keystone.
func (r *run) bootstrap(ctx context.Context) error {
	err := r.python(ctx, "keystone-bootstrap", "keystone-manage", "--config-file", r.path("conf", "keystone.conf"), "bootstrap",
		"--bootstrap-username", "admin", "--bootstrap-password", password, "--bootstrap-project-name", "admin",
		"--bootstrap-region-id", region, "--bootstrap-public-url", authURL, "--bootstrap-internal-url", authURL,
		"--bootstrap-admin-url", authURL)
	if err != nil {
		return fmt.Errorf("make the first account: %w", err)
	}
	return nil
}
