//! Files as their libraries wrote them, beside what these predict (`scripts/models/compare.py --golden` makes both).

mod damage;
mod golden;
mod refusals;
