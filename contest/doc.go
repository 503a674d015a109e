package contest
