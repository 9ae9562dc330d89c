"""The whole: a gateway and banks in processes of their own, a real broker, a real database, and a payer who believes nothing."""
