package v1alpha1

// ConditionAccepted is the type of the condition on an AddressPool and on a
// LoadBalancerClass that says whether the object, as its owner wrote it last, is
// in force. Its reason is "Accepted" or one of internal/lb's Reasons; its message
// names the field and the remedy.
const ConditionAccepted = "Accepted"

// ConfirmAnnotation on an AddressPool lets an edit or a deletion through that the
// controller holds because it would take addresses from running Services. Its
// value is the metadata.generation of the pool that is confirmed, so that it
// confirms one edit and not the next as well.
const ConfirmAnnotation = "fairlead.dev/confirm"
