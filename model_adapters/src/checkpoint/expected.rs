//! Which tensors a configuration asks for, with shapes, and the strict comparison with what the files hold.
