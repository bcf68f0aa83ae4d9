-- What a person has looked at and bought lately.
SELECT user_id,
       count(*)                FILTER (WHERE within(ts, '1 minute'))                    AS visits,
       count(*)                FILTER (WHERE kind = 'buy' AND within(ts, '1 minute'))   AS buys,
       count(DISTINCT item_id) FILTER (WHERE within(ts, '10 seconds'))                  AS items
FROM visits
GROUP BY user_id
