# Makes resolved pins portable: one torch without a build's suffix, and none of the CUDA libraries
# that a build of torch asks for by itself.
/^(cuda|nvidia)-/ { next }
/^torch==/ { if (!seen++) { sub(/[+ ].*/, ""); print } next }
{ print }
