// Package occm reads what users wrote for OpenStack's cloud controller manager
// (OCCM, kubernetes/cloud-provider-openstack): its cloud.conf and its annotations
// become lb values, and its names for cloud objects are kept, so that load balancers
// that it made are found again and its neighbours (Magnum, clean-up jobs, people) go
// on recognising ours.
//
// It opens no file and calls no cloud: cloud/openstack/access resolves the paths and
// uses the credentials. The tables in keys.go and annotations.go are at once what is
// read and what docs/reference shows.
package occm
