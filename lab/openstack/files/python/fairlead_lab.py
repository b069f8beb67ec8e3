"""An Octavia compute driver without computers, for real Neutron ports.

Octavia's own compute_noop_driver does not go together with the real network
driver (allowed_address_pairs_driver): its attach_network_or_port() returns
None where the network driver takes apart Nova's description of the interface.
This one describes the Neutron port itself and marks it as attached the way
Nova would (device_id), so that "plugged networks" are found again later.
"""
from types import SimpleNamespace

from oslo_config import cfg

from octavia.common import clients
from octavia.compute.drivers.noop_driver import driver

OWNER = 'compute:lab'


class ComputeDriver(driver.NoopComputeDriver):

    @staticmethod
    def _neutron():
        return clients.NeutronAuth.get_neutron_client(
            endpoint=None, region=cfg.CONF.neutron.region_name,
            endpoint_type='publicURL')

    def create_server_group(self, name, policy):
        # The caller reads .id, so None would end ACTIVE_STANDBY in ERROR.
        super().create_server_group(name, policy)
        return SimpleNamespace(id=None)

    def attach_network_or_port(self, compute_id, network_id=None,
                               ip_address=None, port_id=None):
        neutron = self._neutron()
        if port_id is None:
            body = {'network_id': network_id, 'device_owner': OWNER}
            port_id = neutron.create_port({'port': body})['port']['id']
        port = neutron.update_port(
            port_id, {'port': {'device_id': compute_id}})['port']
        return SimpleNamespace(net_id=port['network_id'], port_id=port['id'],
                               fixed_ips=port['fixed_ips'])

    def _release(self, port):
        # As Nova: what it made itself is deleted, what it was given is freed.
        if port['device_owner'] == OWNER:
            self._neutron().delete_port(port['id'])
        else:
            self._neutron().update_port(
                port['id'], {'port': {'device_id': ''}})

    def detach_port(self, compute_id, port_id):
        self._release(self._neutron().show_port(port_id)['port'])

    def delete(self, compute_id):
        super().delete(compute_id)
        for port in self._neutron().list_ports(device_id=compute_id)['ports']:
            self._release(port)
