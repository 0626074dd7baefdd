<<<<<<< HEAD
//! What every implementation of a trait of the domain must do, as functions that run on fakes and on real things.

pub mod router;
=======
//! What every implementation of a trait of `core` promises: one function per trait, run on the fake and on the real one.

pub mod runtime;
>>>>>>> main
